import { hash } from 'node:crypto';
import { Controller, Inject, Post, Req, Res } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { problemDocument } from '#kernel/problem.js';
import { CONFIG } from '#platform/platform.module.js';
import type { RequestContext } from '#platform/request-context.js';
import { MAX_PROPOSALS } from '#reconciliation/breaks/limits.js';
import { readProposals } from '#reconciliation/breaks/proposals-file.js';
import { type ProposalResult, ProposeManyCommand } from '#reconciliation/breaks/propose-many.command.js';
import { reportBytes } from '#reconciliation/receiving/report-bytes.js';
import type { Operator } from '#tenancy/operator.js';
import type { Config } from '../../../config.js';
import { Documented } from '../documented.js';
import { refuse, streamedIdempotency } from '../idempotency.js';
import { CurrentContext, CurrentOperator } from '../request.js';
import { problem } from '../schemas.js';
import { breakShape } from './break-schemas.js';

const proposed = z
  .looseObject({
    results: z.array(
      z.looseObject({
        line: z.int().min(1).meta({ description: 'Of the file.' }),
        status: z.int(),
        break: breakShape.optional(),
        problem: problem.optional(),
      }),
    ),
  })
  .meta({ id: 'ProposalResults' });

const EXAMPLE = `break_id,action,account_debit,account_credit,amount,reason
251658240000004096,post,suspense:EUR,provider_receivable:EUR,250,The processor kept it.
`;

@Controller('v1/breaks/proposals')
export class ProposalsController {
  constructor(
    private readonly commands: CommandBus,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  @Post()
  @Documented({
    price: 'upload',
    summary: 'Propose how many breaks should end, by CSV',
    description: `Columns break_id, action, account_debit, account_credit, amount, reason; at most ${MAX_PROPOSALS} lines and BODY_LIMIT_BYTES. Of a \`post\` the accounts are codes, the amount is a count of minor units, and the currency is the break’s. Each line is for itself.`,
    access: 'operator_for_merchant',
    streamedBody: ['text/csv'],
    response: proposed,
    requestExample: EXAMPLE,
    problems: ['validation_failed', 'payload_too_large', 'unsupported_media_type', 'malformed_json'],
  })
  async propose(
    @CurrentContext() context: RequestContext,
    @CurrentOperator() operator: Operator,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const { key, digestOf } = streamedIdempotency(request);
    const { bodyLimitBytes: maxBytes, requestDeadlineMs: stallMs } = this.config;
    const bounds = { deadline: context.deadline, stallMs, maxBytes, signal: new AbortController().signal };
    const pieces: Buffer[] = [];
    for await (const piece of reportBytes(request.raw, bounds)) pieces.push(piece);
    const bytes = Buffer.concat(pieces);
    context.cost.addBytes(bytes.length);
    const idempotency =
      key === undefined ? undefined : { key, requestSha256: digestOf(hash('sha256', bytes, 'buffer')) };
    const command = new ProposeManyCommand(context, operator, readProposals(bytes), idempotency);
    const { results, replayed } = await this.commands.execute(command);
    if (replayed) reply.header('Idempotent-Replayed', 'true');
    return Array.isArray(results) ? { results: results.map(resultBody) } : refuse(reply, results);
  }
}

function resultBody({ line, ...result }: ProposalResult): object {
  if ('answer' in result) return { line, status: 200, break: result.answer };
  const document = problemDocument(result.refusal);
  return { line, status: document.status, problem: document };
}
