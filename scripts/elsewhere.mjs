// A server that does nothing but answer what it is asked to: a load is sent here to see what who sends it takes of the machine.
import { createServer } from 'node:http';
import { cpuOfMs, MachineCpu } from './load/cpu.mjs';
import { listenLocally } from './load/listen.mjs';

const REFUSED = 400;
/** A larger body that is refused is not read, and takes its connection along, as at the service. */
const READ_BYTES = 65_536;
const machine = new MachineCpu();
const FILLING = Buffer.alloc(8_388_608, ' ');

/**
 * `Answer-As: <status> <bytes> <ms>`: what is answered, and how late. `GET /cpu`: what of the machine has been taken until now.
 * @param {() => number | undefined} loader pid of who sends the load
 * @returns its URL, on the loopback; it lives as long as this process
 */
export async function serveElsewhere(loader) {
  const server = createServer((request, response) => {
    if (request.url === '/cpu') return void response.end(JSON.stringify(cpuUntilNow(loader() ?? 0)));
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

/** Milliseconds; null where there is no /proc. @param {number} loader pid */
function cpuUntilNow(loader) {
  const own = process.cpuUsage();
  return { all: machine.takenMs(), loader: cpuOfMs(loader), elsewhere: (own.user + own.system) / 1_000 };
}
