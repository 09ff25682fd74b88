import { Busboy, type BusboyInstance } from '@fastify/busboy';
import { invalid, ProblemError } from '#kernel/problem.js';

/** A form has the report, and nothing else. */
const LIMITS = { files: 1, fields: 0, parts: 1, headerPairs: 50, headerSize: 16_384 };

/** The one file of a `multipart/form-data` body, as it comes. Throws what the client is told. */
export async function* formFile(bytes: AsyncIterable<Buffer>, contentType: string): AsyncGenerator<Buffer> {
  const ready: Buffer[] = [];
  const form = formOf(contentType);
  const broken = Promise.withResolvers<never>();
  broken.promise.catch(() => undefined);
  // It tells each part's end and its own: without a listener the second would end the process.
  const breakOff = (error: unknown) => broken.reject(unreadable(error));
  form.on('error', breakOff);
  let files = 0;
  form.on('file', (_name, file) => {
    files += 1;
    file.on('data', (piece: Buffer) => ready.push(piece)).on('error', breakOff);
  });
  for (const limit of ['partsLimit', 'filesLimit', 'fieldsLimit'] as const) {
    form.on(limit, () => broken.reject(invalid('file', 'must be the only part of the form')));
  }
  for await (const piece of bytes) {
    const written = new Promise<void>((resolve) => void form.write(piece, () => resolve()));
    await Promise.race([written, broken.promise]);
    yield* ready.splice(0);
  }
  const finished = new Promise<void>((resolve) => void form.once('finish', resolve));
  form.end();
  await Promise.race([finished, broken.promise]);
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
