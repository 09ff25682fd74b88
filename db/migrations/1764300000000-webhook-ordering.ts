import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Whether an endpoint's deliveries wait for each other. Endpoints that are there were promised that they do. */
export class WebhookOrdering1764300000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
ALTER TABLE webhook_endpoints ADD COLUMN ordering text NOT NULL DEFAULT 'strict' CHECK (ordering IN ('none', 'strict'));
ALTER TABLE webhook_endpoints ALTER COLUMN ordering SET DEFAULT 'none';
-- What waits for an endpoint without order, by when it is due.
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (merchant_id, endpoint_id, redelivery DESC, next_attempt_at, id)
  WHERE status = 'due';`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX webhook_deliveries_due');
    await runner.query('ALTER TABLE webhook_endpoints DROP COLUMN ordering');
  }
}
