import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Consumers that operators had forgotten: nothing of theirs holds up the log's retention any more. */
export class ForgottenConsumers1764400000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
-- Who had a consumer forgotten, and why. Rows are only ever added.
CREATE TABLE forgotten_consumers (
  consumer text NOT NULL,
  forgotten_at timestamptz NOT NULL DEFAULT now(),
  forgotten_by text NOT NULL,
  reason text NOT NULL,
  PRIMARY KEY (consumer, forgotten_at)
);
GRANT SELECT, INSERT ON forgotten_consumers TO counterfoil_runtime;
GRANT DELETE ON relay_cursors TO counterfoil_runtime;`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('REVOKE DELETE ON relay_cursors FROM counterfoil_runtime; DROP TABLE forgotten_consumers');
  }
}
