import numpy as np

from earth_embed.datasets.packaged import CONTINENTS, continent_of, nearest_country

PLACES = {
    "AF": [(36.8, -1.3), (47.5, -18.9)],  # Nairobi, Antananarivo
    "AS": [(105.8, 21.0), (32.9, 39.9), (71.4, 51.1)],  # Hanoi, Ankara, Astana
    "EU": [(2.3, 48.9), (129.7, 62.0), (-21.9, 64.1)],  # Paris, Yakutsk (Russia), Reykjavik
    "NA": [(-99.1, 19.4), (-51.7, 64.2), (-79.5, 9.0)],  # Mexico City, Nuuk, Panama
    "OC": [(149.1, -35.3), (179.9, -16.8), (-179.9, -16.8)],  # Canberra, Fiji on both sides
    "SA": [(-52.3, 4.9), (-68.1, -16.5)],  # Cayenne (of France), La Paz
}


def test_cities_lie_on_the_continent_of_their_country(read_towns_once):
    lonlat = np.array([place for places in PLACES.values() for place in places], float)
    expected = [code for code, places in PLACES.items() for _ in places]
    assert [CONTINENTS[i] for i in continent_of(lonlat)] == expected


def test_no_country_lies_on_two_continents(read_towns_once, rng):
    lonlat = np.stack([rng.uniform(-180, 180, 3000), rng.uniform(-60, 80, 3000)], axis=1)
    pairs = set(zip(nearest_country(lonlat, read_towns_once()), continent_of(lonlat), strict=True))
    assert len(pairs) == len({country for country, _ in pairs}) > 100
