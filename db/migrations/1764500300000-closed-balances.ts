import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * An account closes empty, and a system account never does: money could neither leave nor reach it. What a system account is,
 * see libs/ledger/src/system-accounts.ts. Only the condition is evaluated on the way of a posting. Owners may put a balance back
 * as it was.
 */
const CLOSING = `
CREATE FUNCTION check_closed_balance() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  IF NEW.posted_debits <> NEW.posted_credits OR NEW.pending_debits <> 0 OR NEW.pending_credits <> 0 THEN
    RAISE EXCEPTION 'account % is closed, but not empty', NEW.account_id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'balances_closed_empty';
  END IF;
  IF NOT OLD.closed AND EXISTS (
    SELECT FROM accounts a
      JOIN (VALUES ('provider_receivable', 1), ('merchant_payable', -1), ('fee_revenue', -1), ('payout_clearing', -1),
                   ('dispute_reserve', -1), ('cash', 1), ('suspense', -1)) AS system (name, side)
        ON a.code = system.name || ':' || a.currency AND a.normal_side = system.side
     WHERE a.merchant_id = NEW.merchant_id AND a.id = NEW.account_id) THEN
    RAISE EXCEPTION 'account % is a system account, which never closes', NEW.account_id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'balances_of_the_system_open';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER balances_closed_checked AFTER UPDATE ON balances FOR EACH ROW
  WHEN (NEW.closed AND current_user = 'counterfoil_runtime') EXECUTE FUNCTION check_closed_balance();`;

export class ClosedBalances1764500300000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(CLOSING);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TRIGGER balances_closed_checked ON balances; DROP FUNCTION check_closed_balance');
  }
}
