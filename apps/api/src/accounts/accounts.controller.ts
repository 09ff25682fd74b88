import { Body, Controller, Get, HttpCode, Post, Query, Req, Res } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { GetBalanceQuery } from '#balances/get-balance.query.js';
import { ChangeAccountStatusCommand, type StatusReply } from '#ledger/accounts/account-status.command.js';
import type { NewAccount } from '#ledger/accounts/account-store.js';
import { CreateAccountCommand } from '#ledger/accounts/create-account.command.js';
import { GetAccountQuery, ListAccountsQuery, ListStatementQuery } from '#ledger/reading/account.queries.js';
import { cursorScope } from '#platform/cursor.js';
import { randomHex } from '#platform/random-hex.js';
import type { RequestContext } from '#platform/request-context.js';
import { Documented } from '../documented.js';
import { answering, givenIdempotencyOf, refuse, send } from '../idempotency.js';
import { Pages } from '../pages.js';
import { CurrentContext, PathId } from '../request.js';
import { noFields } from '../schemas.js';
import {
  account,
  accountBody,
  accountList,
  balance,
  balanceBody,
  balanceQuery,
  createAccount,
  listAccountsQuery,
  newAccountBody,
  statement,
  statementLineBody,
  statementQuery,
} from './schemas.js';

@Controller('v1/accounts')
export class AccountsController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    private readonly pages: Pages,
  ) {}

  @Post()
  @Documented({
    price: 'change',
    summary: 'Open an account',
    status: 201,
    response: account,
    // A code that is free: the demo has Alice and Bob.
    requestExample: {
      code: `wallet:carol-${randomHex(3)}`,
      name: 'Carol',
      currency: 'EUR',
      normal_side: 'credit',
      min_available: '0',
    },
  })
  async create(
    @CurrentContext() context: RequestContext,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Body({ schema: createAccount }) body: z.output<typeof createAccount>,
  ) {
    const account = {
      code: body.code,
      name: body.name,
      currency: body.currency,
      normalSide: body.normal_side,
      minAvailable: body.min_available ?? null,
      metadata: body.metadata && JSON.stringify(body.metadata),
    };
    const created = answering(request, 201, (opened: NewAccount) => ({
      body: newAccountBody(context.merchantId, opened),
    }));
    return send(reply, await this.commands.execute(new CreateAccountCommand(context, account, created)));
  }

  @Get()
  @Documented({ price: 'list', summary: 'List accounts, newest first', response: accountList })
  async list(
    @CurrentContext() context: RequestContext,
    @Query({ schema: listAccountsQuery }) query: z.output<typeof listAccountsQuery>,
  ) {
    const { limit, cursor, ...filters } = query;
    return this.pages.page({
      asking: context,
      scope: cursorScope(context.merchantId, 'accounts', filters),
      cursor,
      limit,
      read: (before, count) =>
        this.queries.execute(
          new ListAccountsQuery(context, {
            codePrefix: filters.code_prefix,
            currency: filters.currency,
            beforeId: before,
            limit: count,
          }),
        ),
      position: (record) => record.id,
      body: (record) => accountBody(context.merchantId, record),
    });
  }

  @Get(':id')
  @Documented({ price: 'get', summary: 'Get an account', response: account, problems: ['not_found'] })
  get(@CurrentContext() context: RequestContext, @PathId('account') id: bigint) {
    return this.#account(context, id);
  }

  @Post(':id/close')
  @HttpCode(200)
  @Documented({
    price: 'change',
    summary: 'Close an empty account',
    description: 'A system account never closes.',
    response: account,
    problems: ['not_found', 'invalid_transition'],
  })
  async close(
    @CurrentContext() context: RequestContext,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @PathId('account') id: bigint,
    @Body({ schema: noFields }) _body: z.output<typeof noFields>,
  ) {
    const change = new ChangeAccountStatusCommand(context, id, 'close', givenIdempotencyOf(request));
    return this.#answerStatus(reply, context, id, await this.commands.execute(change), 'closed');
  }

  @Post(':id/reopen')
  @HttpCode(200)
  @Documented({
    price: 'change',
    summary: 'Open a closed account again',
    description: 'Of an account that is open nothing changes.',
    response: account,
    problems: ['not_found'],
  })
  async reopen(
    @CurrentContext() context: RequestContext,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @PathId('account') id: bigint,
    @Body({ schema: noFields }) _body: z.output<typeof noFields>,
  ) {
    const change = new ChangeAccountStatusCommand(context, id, 'reopen', givenIdempotencyOf(request));
    return this.#answerStatus(reply, context, id, await this.commands.execute(change), 'open');
  }

  @Get(':id/balance')
  @Documented({
    price: 'balance',
    summary: 'Get the balance, now or by effective time',
    description:
      '`cached` is linearizable for each account: never older than what anybody has been told. `strong` reads the database. `bounded` may come from the process, at most BALANCE_L1_MAX_AGE_MS old. `source` says where it came from. With `at` it is at the highest version that it counts; `min_version` is compared with the account’s newest.',
    response: balance,
    problems: ['not_found'],
  })
  async balance(
    @CurrentContext() context: RequestContext,
    @PathId('account') id: bigint,
    @Query({ schema: balanceQuery }) query: z.output<typeof balanceQuery>,
  ) {
    const { consistency, min_version: minVersion, at: atMs } = query;
    return balanceBody(await this.queries.execute(new GetBalanceQuery(context, id, { consistency, minVersion, atMs })));
  }

  @Get(':id/entries')
  @Documented({ price: 'list', summary: 'Statement lines, newest first', response: statement, problems: ['not_found'] })
  async entries(
    @CurrentContext() context: RequestContext,
    @PathId('account') id: bigint,
    @Query({ schema: statementQuery }) query: z.output<typeof statementQuery>,
  ) {
    const { limit, cursor, ...filters } = query;
    let side: 'debit' | 'credit' = 'debit';
    return this.pages.page({
      asking: context,
      scope: cursorScope(context.merchantId, `accounts/${id}/entries`, filters),
      cursor,
      limit,
      read: async (before, count) => {
        const { normalSide, lines } = await this.queries.execute(
          new ListStatementQuery(context, {
            accountId: id,
            effectiveFromMs: filters.effective_from,
            effectiveToMs: filters.effective_to,
            beforeVersion: before,
            limit: count,
          }),
        );
        side = normalSide;
        return lines;
      },
      position: (line) => line.accountVersion,
      body: (line) => statementLineBody(side, line),
    });
  }

  /** The account in the status that it was given: what else there is to it never changes, and a replay may come late. */
  async #answerStatus(
    reply: FastifyReply,
    context: RequestContext,
    id: bigint,
    { result, replayed }: StatusReply,
    status: 'open' | 'closed',
  ) {
    if (replayed) reply.header('Idempotent-Replayed', 'true');
    if (result !== 'changed') return refuse(reply, result.refusal);
    return { ...(await this.#account(context, id)), status };
  }

  async #account(context: RequestContext, id: bigint) {
    return accountBody(context.merchantId, await this.queries.execute(new GetAccountQuery(context, id)));
  }
}
