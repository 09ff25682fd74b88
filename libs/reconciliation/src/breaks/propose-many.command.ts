import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import type { Account } from '#ledger/accounts/account.js';
import { AccountDirectory } from '#ledger/accounts/account-directory.js';
import type { Refused } from '#ledger/posting/command.js';
import { refuse } from '#ledger/posting/entries.js';
import { type KeptRefusal, recalledRefusal } from '#ledger/writing/group.js';
import { extended, type Outcome, type SubmittedCommand } from '#ledger/writing/group-extension.js';
import { Writer } from '#ledger/writing/writer.js';
import type { Idempotency } from '#platform/idempotency.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import type { Operator } from '#tenancy/operator.js';
import type { BreakBody } from './break-body.js';
import type { BreakPart, Propose } from './break-part.js';
import type { BreakRow } from './break-row.js';
import { findBreaks } from './break-store.js';
import { BREAKS } from './breaks-extension.js';
import type { FileLine, ProposedLine } from './proposals-file.js';

export type ProposalResult = { line: number } & ({ answer: BreakBody } | { refusal: Refused });

/** Many proposals under one key, each for itself. Answers in the order of the lines, or with the one refusal of the key. */
export class ProposeManyCommand extends Command<{ results: ProposalResult[] | Refused; replayed: boolean }> {
  constructor(
    readonly context: RequestContext,
    readonly operator: Operator,
    readonly lines: readonly FileLine[],
    readonly idempotency: Idempotency | undefined,
  ) {
    super();
  }
}

@CommandHandler(ProposeManyCommand)
export class ProposeManyHandler implements ICommandHandler<ProposeManyCommand> {
  constructor(
    private readonly database: Database,
    private readonly directory: AccountDirectory,
    private readonly writer: Writer,
  ) {}

  async execute({ context, operator, lines, idempotency }: ProposeManyCommand) {
    const { merchantId, deadline } = context;
    const readable = lines.flatMap(({ proposed }) => ('accepted' in proposed ? [] : [proposed]));
    const found = await findBreaks(
      this.database,
      merchantId,
      [...new Set(readable.map(({ breakId }) => breakId))],
      deadline,
    );
    const breaks = new Map(found.map((row) => [BigInt(row.id), row]));
    const codes = [...new Set(readable.flatMap((line) => [line.accountDebit, line.accountCredit]))].filter(Boolean);
    const named = await this.directory.find(
      merchantId,
      codes.map((code) => ({ code })),
      deadline,
    );
    const accounts = named.flatMap((account) => (account ? [account] : []));
    const by = { operator, breaks, accounts: new Map(accounts.map((account) => [account.code, account])) };
    const commands = lines.map(({ proposed }) => ('accepted' in proposed ? proposed : commandOf(proposed, by)));
    const { outcome } = await this.writer.post(context, {
      mode: 'independent',
      idempotency,
      commands,
      accounts: new Map(accounts.map((account) => [account.id, account])),
    });
    return { results: resultsOf(outcome, lines), replayed: outcome.kind === 'replayed' };
  }
}

interface Known {
  readonly operator: Operator;
  readonly breaks: ReadonlyMap<bigint, BreakRow>;
  readonly accounts: ReadonlyMap<string, Account>;
}

function commandOf(line: ProposedLine, { operator, breaks, accounts }: Known): SubmittedCommand {
  const { breakId } = line;
  const row = breaks.get(breakId);
  if (!row) return refuse('not_found', 'There is no such break.');
  const touched = [line.accountDebit, line.accountCredit].flatMap((code) => accounts.get(code) ?? []);
  const part: BreakPart = {
    breakId,
    operator,
    ask: askOf(line, row, accounts),
    items: line.action === 'match' && row.item !== null ? [row.item] : [],
    accounts: new Map(touched.map((account) => [account.id, account])),
  };
  return extended(BREAKS, part);
}

/** An account that is not there has no id: the ledger refuses it as one that it does not know. */
function askOf({ action, reason, amount, ...line }: ProposedLine, row: BreakRow, accounts: Known['accounts']): Propose {
  if (action === 'write_off') return { action: 'propose', what: action, reason };
  if (action === 'match') return { action: 'propose', what: action, candidates: [], reason };
  const currency = row.currency ?? accounts.get(line.accountDebit)?.currency ?? '';
  const entries = (['debit', 'credit'] as const).map((direction) => {
    const account_code = direction === 'debit' ? line.accountDebit : line.accountCredit;
    const account_id = String(accounts.get(account_code)?.id ?? 0n);
    return { account_id, account_code, direction, amount: String(amount), currency };
  });
  return { action: 'propose', what: action, entries, reason };
}

function resultsOf(outcome: Outcome, lines: readonly FileLine[]): ProposalResult[] | Refused {
  if (outcome.kind === 'key_reused') return outcome.refused;
  const answers: ({ answer: BreakBody } | { refusal: Refused })[] =
    outcome.kind === 'decided'
      ? outcome.decisions.map((decision) =>
          'response' in decision ? { answer: JSON.parse(decision.response) } : { refusal: decision as Refused },
        )
      : (JSON.parse(outcome.response ?? '[]') as (BreakBody | KeptRefusal)[]).map((kept) =>
          'code' in kept ? { refusal: recalledRefusal(kept) } : { answer: kept },
        );
  return answers.map((answer, index) => ({ line: lines[index]?.line ?? 0, ...answer }));
}
