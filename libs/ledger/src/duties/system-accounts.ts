import type { CommandBus } from '@nestjs/cqrs';
import type { SnowflakeGenerator } from '#kernel/snowflake.js';
import { Deadline } from '#platform/deadline.js';
import type { Logger } from '#platform/logging.js';
import { merchantPages } from '#platform/merchant-pages.js';
import type { Database } from '#platform/postgres.js';
import { boundsIn } from '#platform/request-context.js';
import { inSpan, spanTime, tracer } from '#platform/tracing.js';
import { ChangeAccountStatusCommand } from '../accounts/account-status.command.js';
import {
  codeOf,
  type FlawedSystemAccount,
  findFlawedSystemAccounts,
  openMissingSystemAccounts,
} from '../accounts/flawed-system-accounts.js';

const DEADLINE_MS = 30_000;

export interface Mender {
  database: Database;
  ids: SnowflakeGenerator;
  commands: CommandBus;
  logger: Logger;
}

/**
 * Opens the system accounts that merchants lack, a transaction for each merchant. Not a migration: it issues ids and tells events,
 * and processes of the version before may open merchants while this one runs. Returns how many merchants it completed.
 */
export async function completeSystemAccounts(mender: Mender): Promise<number> {
  let completed = 0;
  for await (const merchantIds of merchantPages(mender.database, newDeadline)) {
    const flawed = await findFlawedSystemAccounts(mender.database, merchantIds, newDeadline());
    for (const [merchantId, flaws] of Map.groupBy(flawed, (flaw) => flaw.merchantId)) {
      try {
        await complete(mender, merchantId, flaws);
        completed += 1;
      } catch (error) {
        mender.logger.warn({ err: error, merchantId: String(merchantId) }, 'system accounts could not be completed');
      }
    }
  }
  return completed;
}

async function complete(mender: Mender, merchantId: bigint, flaws: readonly FlawedSystemAccount[]): Promise<void> {
  if (flaws.some(({ accountId }) => accountId === undefined)) {
    await openMissingSystemAccounts(mender, merchantId, newDeadline());
  }
  for (const flaw of flaws) {
    const { accountId, fits, closed } = flaw;
    if (accountId === undefined) continue;
    if (!fits) {
      const about = { merchantId: String(merchantId), code: codeOf(flaw) };
      mender.logger.error(about, 'an account of the merchant’s own has the code of a system account');
    } else if (closed) await reopen(mender.commands, merchantId, accountId);
  }
}

/** It was closed while it was the merchant's own. */
function reopen(commands: CommandBus, merchantId: bigint, accountId: bigint): Promise<unknown> {
  const span = tracer.startSpan('reopen system account', { root: true, startTime: spanTime() });
  const context = { merchantId, ...boundsIn(span, newDeadline()) };
  return inSpan(span, () => commands.execute(new ChangeAccountStatusCommand(context, accountId, 'reopen', undefined)));
}

function newDeadline(): Deadline {
  return Deadline.after(DEADLINE_MS);
}
