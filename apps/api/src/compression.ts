import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** Below this a packet carries the answer as it is. */
const MIN_LENGTH = 1_400;
/** A tenth of the CPU of zlib's and brotli's own defaults, for a few per cent more bytes. */
const GZIP_LEVEL = 1;
const BROTLI_QUALITY = 3;

const gzipped = promisify(gzip);
const brotlied = promisify(brotliCompress);

type Coding = 'br' | 'gzip';

/**
 * The payload as the client asked for it, with the headers that say so; undefined: as it is. Compression runs in libuv's threads, not in the event
 * loop. Only what is read is compressed: the answer that shows a secret is that of a POST.
 */
export function compressed(
  request: FastifyRequest,
  reply: FastifyReply,
  payload: string | Buffer,
): Promise<Buffer> | undefined {
  if (request.method !== 'GET' || payload.length < MIN_LENGTH) return undefined;
  reply.header('vary', 'Accept-Encoding');
  const coding = codingOf(request.headers['accept-encoding']);
  if (coding === undefined) return undefined;
  reply.header('content-encoding', coding);
  const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload;
  return coding === 'gzip'
    ? gzipped(bytes, { level: GZIP_LEVEL })
    : brotlied(bytes, {
        params: { [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length },
      });
}

/** RFC 9110, 12.5.3: the one with the higher weight, brotli where they are equal; undefined: neither is wanted. */
export function codingOf(header: string | string[] | undefined): Coding | undefined {
  if (header === undefined) return undefined;
  const weights = new Map<string, number>();
  for (const item of String(header).split(',')) {
    const [name = '', ...parameters] = item.split(';').map((part) => part.trim().toLowerCase());
    const weight = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? '1';
    weights.set(name === 'x-gzip' ? 'gzip' : name, Number(weight));
  }
  const weightOf = (coding: string) => weights.get(coding) ?? weights.get('*') ?? 0;
  const best = weightOf('gzip') > weightOf('br') ? 'gzip' : 'br';
  return weightOf(best) > 0 && weightOf(best) >= (weights.get('identity') ?? 0) ? best : undefined;
}
