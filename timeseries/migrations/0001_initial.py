import django.db.models.deletion
from django.db import migrations, models

# Django makes no partitioned tables. The primary key is the only index: it answers "the last
# measurement of this tag at or before then", and a second one would cost each write as much again.
MEASUREMENT = """
CREATE TABLE timeseries_measurement (
    time_ns bigint NOT NULL,
    tag_id integer NOT NULL,
    values bytea NOT NULL,
    PRIMARY KEY (tag_id, time_ns)
) PARTITION BY RANGE (time_ns);
COMMENT ON COLUMN timeseries_measurement.values IS
    'floats, 8 bytes each, big-endian; read them with timeseries_floats(values)';
"""

# For people with psql: the product reads the bytes itself.
FLOATS = """
CREATE FUNCTION timeseries_floats(packed bytea) RETURNS double precision[]
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
$$;
"""

# Each batch changes the row of each of its tags in the hour under way: room in the page keeps that
# from touching an index, and the table is vacuumed by what changed, not by what it holds.
HOURS = """
ALTER TABLE timeseries_taghour SET (
    fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000
);
"""


class Migration(migrations.Migration):

    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name='Tag',
            fields=[
                ('id', models.AutoField(primary_key=True, serialize=False)),
                ('name', models.CharField(db_collation='C', max_length=20, unique=True)),
            ],
            options={
                'ordering': ['name'],
            },
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(MEASUREMENT, 'DROP TABLE timeseries_measurement')],
            state_operations=[
                migrations.CreateModel(
                    name='Measurement',
                    fields=[
                        ('pk', models.CompositePrimaryKey('tag_id', 'time_ns', blank=True, editable=False, primary_key=True, serialize=False)),
                        ('time_ns', models.BigIntegerField()),
                        ('tag', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='timeseries.tag')),
                        ('values', models.BinaryField()),
                    ],
                    options={
                        'db_table': 'timeseries_measurement',
                        'managed': False,
                    },
                ),
            ],
        ),
        migrations.RunSQL(FLOATS, 'DROP FUNCTION timeseries_floats(bytea)'),
        migrations.CreateModel(
            name='TagHour',
            fields=[
                ('pk', models.CompositePrimaryKey('tag_id', 'hour_ns', blank=True, editable=False, primary_key=True, serialize=False)),
                ('hour_ns', models.BigIntegerField()),
                ('first_ns', models.BigIntegerField()),
                ('last_ns', models.BigIntegerField()),
                ('count', models.BigIntegerField()),
                ('tag', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='hours', to='timeseries.tag')),
            ],
            options={
                'indexes': [models.Index(fields=['hour_ns'], name='taghour_hour')],
            },
        ),
        migrations.RunSQL(HOURS, migrations.RunSQL.noop),
        migrations.CreateModel(
            name='StreamCursor',
            fields=[
                ('stream', models.TextField(primary_key=True, serialize=False)),
                ('last_id', models.TextField()),
                ('at_ms', models.BigIntegerField()),
                ('updated_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='StreamWriter',
            fields=[
                ('pk', models.CompositePrimaryKey('stream', 'writer', blank=True, editable=False, primary_key=True, serialize=False)),
                ('stream', models.TextField()),
                ('writer', models.BinaryField()),
                ('seq', models.BigIntegerField()),
                ('updated_at', models.DateTimeField()),
            ],
        ),
    ]
