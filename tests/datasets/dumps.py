"""Dumps of a wiki in the formats that Wikimedia publishes, made for the tests."""

import bz2
import gzip
import json

COLUMNS = {
    "gt_id": "int(10) unsigned NOT NULL AUTO_INCREMENT",
    "gt_page_id": "int(10) unsigned NOT NULL",
    "gt_globe": "varbinary(32) NOT NULL",
    "gt_primary": "tinyint(1) NOT NULL",
    "gt_lat": "decimal(11,8) DEFAULT NULL",
    "gt_lon": "decimal(11,8) DEFAULT NULL",
    "gt_dim": "int(11) DEFAULT NULL",
    "gt_type": "varbinary(32) DEFAULT NULL",
    "gt_name": "varbinary(255) DEFAULT NULL",
    "gt_country": "binary(2) DEFAULT NULL",
    "gt_region": "varbinary(3) DEFAULT NULL",
}
NEWER = COLUMNS | {
    "gt_lat_int": "smallint(6) DEFAULT NULL",
    "gt_lon_int": "smallint(6) DEFAULT NULL",
}

# As the servers' own client library escapes (mysql_real_escape_string).
ESCAPES = {0: b"\\0", 10: b"\\n", 13: b"\\r", 26: b"\\Z", 34: b'\\"', 39: b"\\'", 92: b"\\\\"}


def literal(value, doubled=False):
    """A value as SQL."""
    if value is None:
        return b"NULL"
    if not isinstance(value, bytes):
        return str(value).encode()
    escapes = ESCAPES | ({39: b"''"} if doubled else {})
    return b"'" + b"".join(escapes.get(byte, bytes([byte])) for byte in value) + b"'"


def sql_dump(table, columns, rows, *, statement=3, lines=False, doubled=False):
    """What mysqldump writes of a table, some rows in a statement; newer ones each on a line."""
    defined = ",\n".join(f"  `{name}` {kind}" for name, kind in columns.items())
    parts = [
        b"-- MariaDB dump 10.19  Distrib 10.11.6-MariaDB, for debian-linux-gnu (x86_64)\n--\n",
        b"/*!40101 SET NAMES utf8mb4 */;\n",
        f"DROP TABLE IF EXISTS `{table}`;\n".encode(),
        b"/*!40101 SET character_set_client = utf8mb4 */;\n",
        f"CREATE TABLE `{table}` (\n{defined},\n  PRIMARY KEY (`gt_id`),\n".encode(),
        b"  KEY `gt_page_primary` (`gt_page_id`,`gt_primary`)\n",
        b") ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=binary;\n",
        f"/*!40000 ALTER TABLE `{table}` DISABLE KEYS */;\n".encode(),
    ]
    between = b",\n" if lines else b","
    for start in range(0, len(rows), statement):
        said = [
            b"(" + b",".join(literal(value, doubled) for value in row) + b")"
            for row in rows[start : start + statement]
        ]
        parts.append(f"INSERT INTO `{table}` VALUES".encode() + (b"\n" if lines else b" "))
        parts.append(between.join(said) + b";\n")
    parts.append(f"/*!40000 ALTER TABLE `{table}` ENABLE KEYS */;\n-- Dump completed\n".encode())
    return b"".join(parts)


def geo_row(number, page_id, lat, lon, primary=1, globe=b"earth", name=b"It's (a), name"):
    """A row of the columns of today."""
    place = (number, page_id, globe, primary, lat, lon)
    return (*place, 1000, b"landmark", name, b"FR", None, None, None)


def write_geo_tags(folder, rows, wiki="enwiki"):
    path = folder / f"{wiki}-20260901-geo_tags.sql.gz"
    path.write_bytes(gzip.compress(sql_dump("geo_tags", NEWER, rows)))
    return path


def write_content(folder, articles, wiki="enwiki", number=0, old=False):
    """Articles {page_id: document} as the search index is dumped, today's way or the old one."""
    lines = []
    for page_id, document in articles.items():
        lines.append({"index": {"_type": "_doc", "_id": str(page_id)}})
        lines.append({"namespace": 0, "wiki": wiki, "language": wiki[:-4]} | document)
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    if old:
        path = folder / f"{wiki}-20251229-cirrussearch-content.json.gz"
        path.write_bytes(gzip.compress(text))
    else:
        path = folder / f"{wiki}_content-20260905-{number:05}.json.bz2"
        path.write_bytes(bz2.compress(text))
    return path
