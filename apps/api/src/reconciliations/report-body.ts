import type { FastifyRequest } from 'fastify';
import type { Cost } from '#platform/cost.js';
import type { ReportBody } from '#reconciliation/receiving/receive-report.command.js';
import { formFile } from './form-file.js';

/** The report in a request's body, which is still to come. */
export function reportBodyOf({ raw, headers, state }: FastifyRequest): ReportBody {
  const type = headers['content-type'] ?? '';
  const isForm = /^multipart\/form-data\b/i.test(type);
  return {
    stream: raw,
    contents: (bytes) => {
      const counted = countedBy(state?.cost, bytes);
      return isForm ? formFile(counted, type) : counted;
    },
  };
}

/** What is read is paid for, however much was announced. */
async function* countedBy(cost: Cost | undefined, bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const piece of bytes) {
    cost?.addBytes(piece.length);
    yield piece;
  }
}
