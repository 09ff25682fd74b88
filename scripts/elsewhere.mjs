// A server that does nothing but answer what it is asked to: a load is sent here to see what who sends it takes of the machine.
import { createServer } from 'node:http';
import { listenLocally } from './load/listen.mjs';

const REFUSED = 400;
/** A larger body that is refused is not read, and takes its connection along, as at the service. */
const READ_BYTES = 65_536;
const FILLING = Buffer.alloc(8_388_608, ' ');

/** `Answer-As: <status> <bytes> <ms>`: what is answered, and how late. Its URL, on the loopback; it lives as long as this process. */
export async function serveElsewhere() {
  const server = createServer((request, response) => {
    const [status = 0, bytes = 0, ms = 0] = String(request.headers['answer-as']).split(' ').map(Number);
    const isLeft = status >= REFUSED && Number(request.headers['content-length'] ?? 0) > READ_BYTES;
    if (!isLeft) request.resume();
    request.on('error', () => undefined);
    setTimeout(() => {
      if (status === 0) return request.destroy();
      const connection = isLeft ? { connection: 'close' } : {};
      response.writeHead(status, { 'content-type': 'application/json', 'content-length': bytes, ...connection });
      response.end(FILLING.subarray(0, bytes));
    }, ms);
  });
  return listenLocally(server);
}
