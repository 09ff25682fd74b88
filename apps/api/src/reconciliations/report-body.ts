import type { FastifyRequest } from 'fastify';
import type { ReportBody } from '#reconciliation/receiving/receive-report.command.js';
import { formFile } from './form-file.js';

/** The report in a request's body, which is still to come. */
export function reportBodyOf({ raw, headers }: FastifyRequest): ReportBody {
  const type = headers['content-type'] ?? '';
  const isForm = /^multipart\/form-data\b/i.test(type);
  return { stream: raw, contents: (bytes) => (isForm ? formFile(bytes, type) : bytes) };
}
