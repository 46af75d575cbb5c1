from django.db import migrations

# Django makes no partitioned tables. The primary key is the only index: it answers "the last block
# of this tag at or before then". No block is larger than a page, so nothing goes to another table.
BLOCK = """
CREATE TABLE timeseries_block (
    tag_id integer NOT NULL,
    first_ns bigint NOT NULL,
    times bigint[] STORAGE PLAIN NOT NULL,
    values bytea STORAGE PLAIN NOT NULL,
    PRIMARY KEY (tag_id, first_ns)
) PARTITION BY RANGE (first_ns);
COMMENT ON TABLE timeseries_block IS
    'measurements of a tag within an hour; read them with timeseries_measurements(tag, from, to)';
COMMENT ON COLUMN timeseries_block.values IS
    'floats, 8 bytes each, big-endian, as many for each time; shorter rows end in NaN';
"""

# What there is moves, partition by partition. A writer of the version before waits for the lock and
# then finds no table: what it had in hand stays in the stream, for its successor.
MOVE = r"""
LOCK TABLE timeseries_measurement IN ACCESS EXCLUSIVE MODE;
DO $$
DECLARE
    old record;
BEGIN
    -- What a removal that was cut short has left is past the retention.
    FOR old IN
        SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'r' AND NOT c.relispartition AND n.nspname = current_schema()
        AND c.relname ~ '^timeseries_measurement_\d{10}$'
    LOOP
        EXECUTE format('DROP TABLE %I', old.name);
    END LOOP;
    FOR old IN
        SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bounds
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'timeseries_measurement'::regclass
    LOOP
        -- One that was made by hand may have any name.
        EXECUTE format('ALTER TABLE %I RENAME TO timeseries_moving', old.name);
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF timeseries_block %s',
            replace(old.name, 'timeseries_measurement', 'timeseries_block'), old.bounds
        );
        EXECUTE $move$
            INSERT INTO timeseries_block
            SELECT
                tag_id, min(time_ns), array_agg(time_ns ORDER BY time_ns),
                string_agg(
                    values || decode(repeat('7ff8000000000000', (width - length(values)) / 8), 'hex'),
                    '' ORDER BY time_ns
                )
            FROM (
                SELECT *, (row_number() OVER in_time - 1) / greatest(4000 / (8 + width), 1) AS piece
                FROM (
                    SELECT *, max(length(values)) OVER (PARTITION BY tag_id, hour) AS width
                    FROM (
                        SELECT *, time_ns / 3600000000000 AS hour FROM timeseries_moving
                    ) AS of_hour
                ) AS wide
                WINDOW in_time AS (PARTITION BY tag_id, hour ORDER BY time_ns)
            ) AS cut
            GROUP BY tag_id, hour, piece ORDER BY tag_id, min(time_ns)
        $move$;
        DROP TABLE timeseries_moving;
    END LOOP;
END
$$;
DROP TABLE timeseries_measurement;
ANALYZE timeseries_block;
"""

# For people with psql: the product reads the bytes itself.
FUNCTIONS = """
CREATE OR REPLACE FUNCTION timeseries_floats(packed bytea) RETURNS double precision[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT array_agg(
        CASE
            WHEN bits & 9223372036854775807 = 0 THEN 0
            WHEN (bits >> 52) & 2047 = 0 THEN
                (bits & 4503599627370495)::double precision
                * power(2::double precision, -537) * power(2::double precision, -537)
            ELSE
                (bits & 4503599627370495 | 4503599627370496)::double precision
                * power(2::double precision, (((bits >> 52) & 2047) - 1075) / 2)
                * power(2::double precision,
                        (((bits >> 52) & 2047) - 1075) - (((bits >> 52) & 2047) - 1075) / 2)
        END * CASE WHEN bits < 0 THEN -1 ELSE 1 END
        ORDER BY place
    )
    FROM generate_series(0, length(packed) / 8 - 1) AS place,
    LATERAL (
        SELECT ('x' || encode(substring(packed FROM place * 8 + 1 FOR 8), 'hex'))::bit(64)::bigint
    ) AS word (bits)
    WHERE (bits >> 52) & 2047 <> 2047
$$;
CREATE FUNCTION timeseries_measurements(tag text, from_ns bigint, to_ns bigint)
RETURNS TABLE (time_ns bigint, "values" double precision[])
LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    SELECT of_row.time_ns, timeseries_floats(substring(
        block.values FROM (of_row.place::int - 1) * of_block.bytes + 1 FOR of_block.bytes
    ))
    FROM timeseries_block AS block,
    LATERAL (SELECT length(block.values) / cardinality(block.times)) AS of_block (bytes),
    LATERAL unnest(block.times) WITH ORDINALITY AS of_row (time_ns, place)
    WHERE block.tag_id = (
        SELECT id FROM timeseries_tag WHERE name = timeseries_measurements.tag
    )
    AND block.first_ns >= from_ns / 3600000000000 * 3600000000000 AND block.first_ns < to_ns
    AND of_row.time_ns >= from_ns AND of_row.time_ns < to_ns
    ORDER BY of_row.time_ns
$$;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('timeseries', '0001_initial'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(BLOCK),
                migrations.RunSQL(MOVE),
                migrations.RunSQL(FUNCTIONS),
            ],
            state_operations=[
                migrations.DeleteModel('Measurement'),
            ],
        ),
    ]
