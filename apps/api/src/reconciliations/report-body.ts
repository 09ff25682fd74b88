import type { FastifyRequest } from 'fastify';
import type { Cost } from '#platform/cost.js';
import type { ReportBody } from '#reconciliation/receiving/receive-report.command.js';
import { formFile } from './form-file.js';

/** The report in a request's body, which is still to come and is counted as it comes. */
export function reportBodyOf({ raw, headers }: FastifyRequest, cost: Cost): ReportBody {
  const type = headers['content-type'] ?? '';
  const isForm = /^multipart\/form-data\b/i.test(type);
  return {
    stream: raw,
    contents: (bytes) => (isForm ? formFile(counted(bytes, cost), type) : counted(bytes, cost)),
  };
}

async function* counted(bytes: AsyncIterable<Buffer>, cost: Cost): AsyncGenerator<Buffer> {
  for await (const piece of bytes) {
    cost.addBytes(piece.length);
    yield piece;
  }
}
