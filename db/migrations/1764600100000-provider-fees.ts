import type { MigrationInterface, QueryRunner } from 'typeorm';

const SYSTEM = [
  `('provider_receivable', 1), ('merchant_payable', -1), ('fee_revenue', -1), ('payout_clearing', -1)`,
  `('dispute_reserve', -1), ('cash', 1), ('suspense', -1)`,
];

/** Of 1764500300000-closed-balances. */
function closing(system: readonly string[]): string {
  return `
CREATE OR REPLACE FUNCTION check_closed_balance() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  IF NEW.posted_debits <> NEW.posted_credits OR NEW.pending_debits <> 0 OR NEW.pending_credits <> 0 THEN
    RAISE EXCEPTION 'account % is closed, but not empty', NEW.account_id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'balances_closed_empty';
  END IF;
  IF NOT OLD.closed AND EXISTS (
    SELECT FROM accounts a
      JOIN (VALUES ${system.join(', ')}) AS system (name, side)
        ON a.code = system.name || ':' || a.currency AND a.normal_side = system.side
     WHERE a.merchant_id = NEW.merchant_id AND a.id = NEW.account_id) THEN
    RAISE EXCEPTION 'account % is a system account, which never closes', NEW.account_id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'balances_of_the_system_open';
  END IF;
  RETURN NULL;
END $$`;
}

/**
 * A system account more: 'provider_fees', what processors charged. Those of merchants that are there are opened by a duty of the worker
 * (libs/ledger/src/duties/system-accounts.ts).
 */
export class ProviderFees1764600100000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(closing([...SYSTEM, `('provider_fees', 1)`]));
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(closing(SYSTEM));
  }
}
