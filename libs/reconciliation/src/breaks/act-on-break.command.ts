import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { notFound } from '#kernel/problem.js';
import type { Account } from '#ledger/accounts/account.js';
import { AccountDirectory } from '#ledger/accounts/account-directory.js';
import type { PostRequest } from '#ledger/posting/command.js';
import { type AnsweredReply, answeredReply } from '#ledger/writing/answered-reply.js';
import { extended } from '#ledger/writing/group-extension.js';
import { Writer } from '#ledger/writing/writer.js';
import type { Idempotency } from '#platform/idempotency.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import type { Operator } from '#tenancy/operator.js';
import type { BreakBody } from './break-body.js';
import type { BreakAsk, BreakPart } from './break-part.js';
import type { BreakRow } from './break-row.js';
import { findBreaks } from './break-store.js';
import { BREAKS } from './breaks-extension.js';
import { chosenItems, itemsOfPayments } from './items-of-payments.js';

/** An action as a client asks for it: entries name their accounts by id or by code. */
export type BreakRequest =
  | Exclude<BreakAsk, { action: 'propose' } | { action: 'approve' }>
  | { readonly action: 'approve' }
  | ({ readonly action: 'propose'; readonly reason: string } & (
      | { readonly what: 'post'; readonly entries: PostRequest['entries'] }
      | { readonly what: 'match'; readonly candidates: readonly string[] }
      | { readonly what: 'write_off' }
    ));

/** What an operator does about a break. Answered with the break, or refused as `BREAKS` says. */
export class ActOnBreakCommand extends Command<AnsweredReply<BreakBody>> {
  constructor(
    readonly context: RequestContext,
    readonly operator: Operator,
    readonly named: { breakId: bigint; reconciliationId: bigint | undefined },
    readonly request: BreakRequest,
    readonly idempotency: Idempotency | undefined,
  ) {
    super();
  }
}

@CommandHandler(ActOnBreakCommand)
export class ActOnBreakHandler implements ICommandHandler<ActOnBreakCommand> {
  constructor(
    private readonly database: Database,
    private readonly directory: AccountDirectory,
    private readonly writer: Writer,
  ) {}

  async execute(command: ActOnBreakCommand): Promise<AnsweredReply<BreakBody>> {
    const { context, operator, named, request, idempotency } = command;
    const { breakId, reconciliationId } = named;
    const [row] = await findBreaks(this.database, context.merchantId, [breakId], context.deadline);
    const isOther = reconciliationId !== undefined && row?.reconciliation_id !== String(reconciliationId);
    if (!row || isOther) throw notFound('break');
    const offered = isMatch(request) ? await itemsOfPayments(this.database, row, context.deadline) : [];
    const chosen = isMatch(request)
      ? { ...request, candidates: chosenItems(request.candidates, row, offered) }
      : request;
    const { ask, accounts } = await resolve(this.directory, context, chosen, row);
    const part: BreakPart = {
      ...{ breakId, operator, ask, items: itemsOf(ask, row), accounts },
      offered: offered.map(({ item }) => item),
    };
    const { outcome } = await this.writer.post(context, {
      mode: 'single',
      idempotency,
      commands: [extended(BREAKS, part)],
      accounts,
    });
    return answeredReply<BreakBody>(outcome);
  }
}

function isMatch(request: BreakRequest): request is Extract<BreakRequest, { what: 'match' }> {
  return request.action === 'propose' && request.what === 'match';
}

/** What of the request, or of what was proposed before, can be known before the merchant is locked. */
async function resolve(
  directory: AccountDirectory,
  context: RequestContext,
  request: BreakRequest,
  row: BreakRow,
): Promise<{ ask: BreakAsk; accounts: ReadonlyMap<bigint, Account> }> {
  if (request.action === 'approve') {
    const refs = (row.proposal?.entries ?? []).map(({ account_id }) => ({ id: BigInt(account_id) }));
    const found = await directory.find(context.merchantId, refs, context.deadline);
    const accounts = new Map(found.flatMap((account) => (account ? [[account.id, account] as const] : [])));
    return { ask: { action: 'approve', proposalId: row.proposal?.id }, accounts };
  }
  if (request.action !== 'propose' || request.what !== 'post') return { ask: request, accounts: new Map() };
  return proposedPosting(directory, context, request);
}

type Posting = Extract<BreakRequest, { what: 'post' }>;

async function proposedPosting(directory: AccountDirectory, context: RequestContext, request: Posting) {
  const refs = request.entries.map(({ account }) => account);
  const found = await directory.find(context.merchantId, refs, context.deadline);
  const accounts = new Map(found.flatMap((account) => (account ? [[account.id, account] as const] : [])));
  const entries = request.entries.map(({ account, direction, amount, currency }, index) => {
    const { id, code } = found[index] ?? {
      id: 'id' in account ? account.id : 0n,
      code: 'code' in account ? account.code : '',
    };
    return { account_id: String(id), account_code: code, direction, amount: String(amount), currency };
  });
  return { ask: { ...request, entries }, accounts };
}

/** What is to be matched: what is chosen, and the break's own item. */
function itemsOf(ask: BreakAsk, { item, proposal }: BreakRow): string[] {
  const chosen = ask.action === 'propose' && ask.what === 'match' ? ask.candidates : undefined;
  const proposed = ask.action === 'approve' && proposal?.action === 'match' ? proposal.candidates : undefined;
  const items = chosen ?? proposed;
  return items ? [...new Set([...(item === null ? [] : [item]), ...items])] : [];
}
