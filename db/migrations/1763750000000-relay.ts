import type { MigrationInterface, QueryRunner } from 'typeorm';

const RELAY = `
-- Who relays a partition of the log. epoch rises whenever it changes hands: what an earlier holder still does is refused by it.
CREATE TABLE relay_partitions (
  partition smallint PRIMARY KEY CHECK (partition BETWEEN 0 AND 63),
  holder uuid,
  epoch bigint NOT NULL DEFAULT 0,
  expires_at timestamptz NOT NULL DEFAULT to_timestamp(0)
) WITH (fillfactor = 50);
INSERT INTO relay_partitions (partition) SELECT generate_series(0, 63);
-- Workers that are ready to relay: partitions are shared out among them.
CREATE TABLE relay_members (holder uuid PRIMARY KEY, expires_at timestamptz NOT NULL);
-- Up to where the events of a partition have been handed to a consumer. Only ever moves forward.
CREATE TABLE relay_cursors (
  consumer text NOT NULL,
  partition smallint NOT NULL REFERENCES relay_partitions (partition),
  xid xid8 NOT NULL,
  seq bigint NOT NULL,
  handed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (consumer, partition)
) WITH (fillfactor = 50);`;

const CONSUMERS = `
-- Up to where a consumer has applied the events of a partition: moved in the transaction of the effect.
CREATE TABLE consumer_positions (
  consumer text NOT NULL,
  partition smallint NOT NULL REFERENCES relay_partitions (partition),
  xid xid8 NOT NULL DEFAULT '0',
  seq bigint NOT NULL DEFAULT 0,
  -- Who applies them at present: an effect is committed only by whoever still holds the claim.
  claimed_by uuid,
  claimed_until timestamptz NOT NULL DEFAULT to_timestamp(0),
  -- Tries since the position last moved, counted before each, so that a try which ends the process counts too.
  tries integer NOT NULL DEFAULT 0,
  last_error text,
  -- Events up to here are applied one by one, because a batch of them has failed.
  careful_xid xid8 NOT NULL DEFAULT '0',
  careful_seq bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (consumer, partition)
) WITH (fillfactor = 50);
-- An event that a consumer gave up on. parked → redriving → redriven, or back to parked; parked → discarding → discarded.
CREATE TABLE dead_letters (
  merchant_id bigint NOT NULL,
  id bigint NOT NULL,
  consumer text NOT NULL,
  xid xid8 NOT NULL,
  seq bigint NOT NULL,
  event_type text NOT NULL,
  event_version smallint NOT NULL,
  parks text NOT NULL CHECK (parks IN ('event', 'stream')),
  status text NOT NULL DEFAULT 'parked' CHECK (status IN ('parked', 'redriving', 'redriven', 'discarding', 'discarded')),
  tries integer NOT NULL CHECK (tries > 0),
  error text NOT NULL,
  trace_context text,
  created_at timestamptz NOT NULL CHECK (created_at = snowflake_time(id)),
  -- Who decided what is to become of it, and why.
  decided_by text,
  decided_at timestamptz,
  reason text,
  CHECK (status = 'parked' OR (decided_by IS NOT NULL AND decided_at IS NOT NULL AND reason IS NOT NULL)),
  PRIMARY KEY (merchant_id, id),
  UNIQUE (merchant_id, consumer, xid, seq)
);
CREATE INDEX dead_letters_decided ON dead_letters (merchant_id, id) WHERE status IN ('redriving', 'discarding');
-- A merchant's stream that waits behind a dead letter: applied up to (xid, seq) although the partition is further on.
CREATE TABLE parked_streams (
  merchant_id bigint NOT NULL,
  consumer text NOT NULL,
  partition smallint NOT NULL GENERATED ALWAYS AS ((hashint8(merchant_id) & 63)::smallint) STORED,
  xid xid8 NOT NULL,
  seq bigint NOT NULL,
  parked_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (merchant_id, consumer)
);`;

const RETENTION = `
-- Up to where a merchant's events have been forgotten: whoever follows the log from before there would miss some.
CREATE TABLE event_horizons (
  merchant_id bigint PRIMARY KEY,
  xid xid8 NOT NULL,
  seq bigint NOT NULL,
  -- Newest moment that a forgotten event told of.
  occurred_at timestamptz NOT NULL
);
-- Forgets the oldest events of a partition: those that are older, and that every consumer and every waiting stream is past.
-- The runtime role may do only this; it cannot delete from the log. In the scope of the relay. Answers how many.
CREATE FUNCTION forget_events(of_partition smallint, older_than timestamptz, at_most integer) RETURNS integer
  LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
WITH passed AS (
  SELECT xid, seq FROM (
    SELECT xid, seq FROM relay_cursors WHERE partition = of_partition
    UNION ALL SELECT xid, seq FROM consumer_positions WHERE partition = of_partition
    UNION ALL SELECT xid, seq FROM parked_streams WHERE partition = of_partition) p
   ORDER BY xid, seq LIMIT 1
), oldest AS (
  SELECT e.ctid, bool_and(e.occurred_at < older_than) OVER (ORDER BY e.xid, e.seq) AS is_old FROM passed p CROSS JOIN LATERAL (
    SELECT ctid, xid, seq, occurred_at FROM events
     WHERE partition = of_partition AND (xid, seq) <= (p.xid, p.seq) ORDER BY xid, seq LIMIT at_most) e
), gone AS (
  DELETE FROM events WHERE ctid = ANY (ARRAY(SELECT ctid FROM oldest WHERE is_old))
  RETURNING merchant_id, xid, seq, occurred_at
), horizons AS (
  INSERT INTO event_horizons AS h (merchant_id, xid, seq, occurred_at)
  SELECT DISTINCT ON (merchant_id) merchant_id, xid, seq, max(occurred_at) OVER (PARTITION BY merchant_id)
    FROM gone ORDER BY merchant_id, xid DESC, seq DESC
  ON CONFLICT (merchant_id) DO UPDATE
     SET xid = excluded.xid, seq = excluded.seq, occurred_at = greatest(h.occurred_at, excluded.occurred_at)
)
SELECT count(*)::integer FROM gone $$;
REVOKE ALL ON FUNCTION forget_events FROM PUBLIC;`;

const TENANTS = `ANY ((SELECT NULLIF(current_setting('counterfoil.merchant_ids', true), '')::bigint[])::bigint[])`;
const relaying = `(SELECT current_setting('counterfoil.platform', true)) = 'relay'`;

const RIGHTS = `
ALTER TABLE dead_letters ENABLE ROW LEVEL SECURITY;
ALTER TABLE dead_letters FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON dead_letters USING (merchant_id = ${TENANTS});
CREATE POLICY platform ON dead_letters FOR SELECT USING ((SELECT current_setting('counterfoil.platform', true)) IN ('on', 'relay'));
ALTER TABLE parked_streams ENABLE ROW LEVEL SECURITY;
ALTER TABLE parked_streams FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON parked_streams USING (merchant_id = ${TENANTS});
CREATE POLICY relay ON parked_streams FOR SELECT USING (${relaying});
-- The relay and its consumers read the log across merchants; what they write is bound to the merchants of what they read.
CREATE POLICY relay ON events FOR SELECT USING (${relaying});
CREATE POLICY retention ON events FOR DELETE USING (${relaying});
ALTER TABLE event_horizons ENABLE ROW LEVEL SECURITY;
ALTER TABLE event_horizons FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON event_horizons USING (merchant_id = ${TENANTS});
CREATE POLICY relay ON event_horizons USING (${relaying});
GRANT SELECT ON event_horizons TO counterfoil_runtime;
GRANT EXECUTE ON FUNCTION forget_events TO counterfoil_runtime;
GRANT SELECT ON relay_partitions, relay_members, relay_cursors, consumer_positions, dead_letters, parked_streams TO counterfoil_runtime;
GRANT UPDATE (holder, epoch, expires_at) ON relay_partitions TO counterfoil_runtime;
GRANT INSERT, UPDATE, DELETE ON relay_members TO counterfoil_runtime;
GRANT INSERT, UPDATE (xid, seq, handed_at) ON relay_cursors TO counterfoil_runtime;
GRANT INSERT, UPDATE, DELETE ON consumer_positions TO counterfoil_runtime;
GRANT INSERT, UPDATE (status, tries, error, decided_by, decided_at, reason) ON dead_letters TO counterfoil_runtime;
GRANT INSERT, UPDATE (xid, seq), DELETE ON parked_streams TO counterfoil_runtime;`;

/** The relay of the events log: leases, cursors, positions, dead letters (docs/adr/0009). */
export class Relay1763750000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const sql of [RELAY, CONSUMERS, RETENTION, RIGHTS]) await runner.query(sql);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP FUNCTION forget_events; DROP POLICY relay ON events; DROP POLICY retention ON events');
    await runner.query(
      'DROP TABLE event_horizons, parked_streams, dead_letters, consumer_positions, relay_cursors, relay_members, relay_partitions',
    );
  }
}
