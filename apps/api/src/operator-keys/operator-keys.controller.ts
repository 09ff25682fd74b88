import { Body, Controller, Delete, Get, Post, Query, Req, Res } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { cursorScope } from '#platform/cursor.js';
import type { RequestBounds } from '#platform/request-context.js';
import type { Operator } from '#tenancy/operator.js';
import {
  type IssuedOperatorKey,
  IssueOperatorKeyCommand,
  ListOperatorKeysQuery,
  RevokeOperatorKeyCommand,
} from '#tenancy/operator-key.commands.js';
import type { OperatorKey } from '#tenancy/operator-key.entity.js';
import { Documented } from '../documented.js';
import { answering, send } from '../idempotency.js';
import { Pages } from '../pages.js';
import { CurrentBounds, CurrentOperator, PathId } from '../request.js';
import {
  issuedOperatorKey,
  issueOperatorKey,
  OF_ENVIRONMENT,
  operatorKeyBody,
  operatorKeyList,
  pageQuery,
} from './schemas.js';

/** Above every id: the place of the environment's keys in the list. */
const FIRST = (1n << 63n) - 1n;

@Controller('v1/operator_keys')
export class OperatorKeysController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    private readonly pages: Pages,
  ) {}

  @Post()
  @Documented({
    price: 'change',
    summary: 'Issue an operator’s key',
    description: 'By name. A name has one valid key; when that is revoked it may have another.',
    access: 'operator',
    status: 201,
    response: issuedOperatorKey,
    requestExample: { name: 'ada' },
  })
  async issue(
    @CurrentBounds() bounds: RequestBounds,
    @CurrentOperator() operator: Operator,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Body({ schema: issueOperatorKey }) { name }: z.output<typeof issueOperatorKey>,
  ) {
    const issued = answering(request, 201, ({ key, secret }: IssuedOperatorKey) => ({
      body: { ...operatorKeyBody(key), secret },
      kept: { ...operatorKeyBody(key), secret: null },
    }));
    return send(reply, await this.commands.execute(new IssueOperatorKeyCommand(bounds, operator, name, issued)));
  }

  @Get()
  @Documented({
    price: 'list',
    summary: 'List operators’ keys, without their secrets',
    description: 'Those of the environment first, as one, then newest first; revoked ones included.',
    access: 'operator',
    response: operatorKeyList,
  })
  list(
    @CurrentBounds() bounds: RequestBounds,
    @Query({ schema: pageQuery }) { limit, cursor }: z.output<typeof pageQuery>,
  ) {
    return this.pages.page<OperatorKey | null, object>({
      asking: bounds,
      scope: cursorScope('platform', 'operator_keys'),
      cursor,
      limit,
      read: async (before, count) => {
        const isFirst = before === undefined;
        const keys = await this.queries.execute(new ListOperatorKeysQuery(bounds, before, count));
        return isFirst ? [null, ...keys].slice(0, count) : keys;
      },
      position: (key) => key?.id ?? FIRST,
      body: (key) => (key ? operatorKeyBody(key) : OF_ENVIRONMENT),
    });
  }

  @Delete(':id')
  @Documented({
    price: 'change',
    summary: 'Revoke an operator’s key',
    description:
      'Effective at once in this process and within 5 seconds everywhere. A key may revoke itself; revoking twice is revoking once. The environment’s keys are changed there.',
    access: 'operator',
    status: 204,
    response: undefined,
    problems: ['not_found'],
  })
  async revoke(
    @CurrentBounds() bounds: RequestBounds,
    @CurrentOperator() operator: Operator,
    @PathId('operator key') id: bigint,
  ): Promise<void> {
    await this.commands.execute(new RevokeOperatorKeyCommand(bounds, operator, id));
  }
}
