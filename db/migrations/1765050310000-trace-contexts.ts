import type { MigrationInterface, QueryRunner } from 'typeorm';

const COLUMNS = `
-- W3C traceparents, of sampled traces alone: of what a later step goes on with, or links to.
-- Of the newest attempt.
ALTER TABLE webhook_deliveries ADD COLUMN trace_context text;
-- Of who told it.
ALTER TABLE payment_facts ADD COLUMN trace_context text;
-- Of who received it first.
ALTER TABLE provider_inbox ADD COLUMN trace_context text;
-- Of who asked for it.
ALTER TABLE payouts ADD COLUMN trace_context text;
GRANT UPDATE (trace_context) ON webhook_deliveries TO counterfoil_runtime;
GRANT INSERT (trace_context) ON provider_inbox TO counterfoil_runtime;`;

const TABLES = ['webhook_deliveries', 'payment_facts', 'provider_inbox', 'payouts'];

/** What waits for its time, and is worked on in another process then, keeps the trace that it belongs to. Adds columns. */
export class TraceContexts1765050310000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(COLUMNS);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(TABLES.map((table) => `ALTER TABLE ${table} DROP COLUMN trace_context`).join(';'));
  }
}
