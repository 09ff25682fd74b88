import { Busboy, type BusboyInstance } from '@fastify/busboy';
import { invalid, ProblemError } from '#kernel/problem.js';

/** A form has the report, and nothing else. */
const LIMITS = { files: 1, fields: 0, parts: 1, headerPairs: 50, headerSize: 16_384 };

/** The one file of a `multipart/form-data` body, as it comes. Throws what the client is told. */
export async function* formFile(bytes: AsyncIterable<Buffer>, contentType: string): AsyncGenerator<Buffer> {
  const ready: Buffer[] = [];
  const form = formOf(contentType);
  let fault: unknown;
  let fail = (_fault: unknown): void => undefined;
  // It tells each part's end and its own: without a listener the second would end the process.
  const breakOff = (error: unknown) => {
    fault ??= error instanceof ProblemError ? error : unreadable(error);
    fail(fault);
  };
  /** Of each step its own promise: with one for all, Promise.race would keep what every step has ended with. */
  const step = (begin: (done: () => void) => void) =>
    new Promise<void>((resolve, reject) => {
      fail = reject;
      if (fault === undefined) begin(resolve);
      else reject(fault);
    });
  form.on('error', breakOff);
  let files = 0;
  form.on('file', (_name, file) => {
    files += 1;
    file.on('data', (piece: Buffer) => ready.push(piece)).on('error', breakOff);
  });
  for (const limit of ['partsLimit', 'filesLimit', 'fieldsLimit'] as const) {
    form.on(limit, () => breakOff(invalid('file', 'must be the only part of the form')));
  }
  for await (const piece of bytes) {
    await step((done) => void form.write(piece, () => done()));
    yield* ready.splice(0);
  }
  await step((done) => void form.once('finish', done).end());
  if (files === 0)
    throw invalid('file', 'is missing: send the report as a file, such as with curl -F file=@report.csv');
  yield* ready;
}

function formOf(contentType: string): BusboyInstance {
  try {
    return new Busboy({ headers: { 'content-type': contentType }, limits: LIMITS });
  } catch (error) {
    throw unreadable(error);
  }
}

function unreadable(error: unknown): ProblemError {
  const why = error instanceof Error ? error.message : String(error);
  return new ProblemError('malformed_json', `The form cannot be read: ${why}`, { cause: error });
}
