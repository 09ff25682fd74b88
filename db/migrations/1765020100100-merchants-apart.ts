import type { MigrationInterface, QueryRunner } from 'typeorm';

const POSITIONS = `
-- Up to where a consumer has applied the events of a merchant that goes apart from its partition, because it had too many of them:
-- what consumer_positions says of the partition does not hold for it. Columns as there.
CREATE TABLE merchant_positions (
  merchant_id bigint NOT NULL,
  consumer text NOT NULL,
  partition smallint NOT NULL GENERATED ALWAYS AS ((hashint8(merchant_id) & 63)::smallint) STORED,
  xid xid8 NOT NULL,
  seq bigint NOT NULL,
  apart_since timestamptz NOT NULL DEFAULT now(),
  claimed_by uuid,
  claimed_until timestamptz NOT NULL DEFAULT to_timestamp(0),
  tries integer NOT NULL DEFAULT 0,
  last_error text,
  careful_xid xid8 NOT NULL DEFAULT '0',
  careful_seq bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (merchant_id, consumer)
) WITH (fillfactor = 50);`;

const TENANTS = `ANY ((SELECT NULLIF(current_setting('counterfoil.merchant_ids', true), '')::bigint[])::bigint[])`;
const relaying = `(SELECT current_setting('counterfoil.platform', true)) = 'relay'`;

const RIGHTS = `
ALTER TABLE merchant_positions ENABLE ROW LEVEL SECURITY;
ALTER TABLE merchant_positions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON merchant_positions USING (merchant_id = ${TENANTS});
CREATE POLICY relay ON merchant_positions FOR SELECT USING (${relaying});
CREATE POLICY retention_scope ON merchant_positions AS RESTRICTIVE TO counterfoil_retention USING (${relaying});
GRANT SELECT, INSERT, DELETE ON merchant_positions TO counterfoil_runtime;
GRANT UPDATE (xid, seq, claimed_by, claimed_until, tries, last_error, careful_xid, careful_seq) ON merchant_positions TO counterfoil_runtime;
GRANT SELECT ON merchant_positions TO counterfoil_retention;`;

/**
 * Workers of the release before stay at work for a while. They know nobody who goes apart, and would apply such a merchant's events with
 * the partition's, or with its waiting stream: a second time. So what they do there is refused, as a conflict that passes: it counts
 * against no event, and a worker of this release does it.
 */
const FENCES = `
CREATE FUNCTION refuse_beside_apart() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$ BEGIN
  IF EXISTS (SELECT FROM merchant_positions m WHERE m.consumer = NEW.consumer AND m.partition = NEW.partition) THEN
    RAISE EXCEPTION 'the position of a partition moves past a merchant that goes apart from it' USING ERRCODE = 'serialization_failure';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER refuse_beside_apart AFTER UPDATE ON consumer_positions FOR EACH ROW
  WHEN ((OLD.xid, OLD.seq) IS DISTINCT FROM (NEW.xid, NEW.seq) AND current_setting('counterfoil.leaves_apart', true) IS DISTINCT FROM 'on')
  EXECUTE FUNCTION refuse_beside_apart();
CREATE FUNCTION refuse_stream_apart() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$ BEGIN
  IF EXISTS (SELECT FROM merchant_positions m WHERE m.merchant_id = OLD.merchant_id AND m.consumer = OLD.consumer) THEN
    RAISE EXCEPTION 'a waiting stream moves with a partition that its merchant goes apart from' USING ERRCODE = 'serialization_failure';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER refuse_stream_apart AFTER UPDATE OR DELETE ON parked_streams FOR EACH ROW
  WHEN (current_setting('counterfoil.leaves_apart', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION refuse_stream_apart();`;

/** As it was, and with one more place in \`passed\` where \`passes\` says so. */
const forgetEvents = (passes: string) => `
CREATE OR REPLACE FUNCTION forget_events(of_partition smallint, older_than timestamptz, at_most integer) RETURNS integer
  LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
WITH passed AS (
  SELECT xid, seq FROM (
    SELECT xid, seq FROM relay_cursors WHERE partition = of_partition
    UNION ALL SELECT xid, seq FROM consumer_positions WHERE partition = of_partition
    UNION ALL SELECT xid, seq FROM parked_streams WHERE partition = of_partition${passes}) p
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
SELECT count(*)::integer FROM gone $$;`;

/** A merchant with a backlog goes apart from the others of its partition (docs/adr/0037). */
export class MerchantsApart1765020100100 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const passes = `
    UNION ALL SELECT xid, seq FROM merchant_positions WHERE partition = of_partition`;
    for (const sql of [POSITIONS, RIGHTS, FENCES, forgetEvents(passes)]) await runner.query(sql);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(forgetEvents(''));
    await runner.query('DROP FUNCTION refuse_beside_apart, refuse_stream_apart CASCADE');
    await runner.query('DROP TABLE merchant_positions');
  }
}
