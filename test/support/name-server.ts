import { createSocket, type Socket } from 'node:dgram';
import { promises as dns } from 'node:dns';
import { once } from 'node:events';
import { isIPv4 } from 'node:net';

const TYPES = { 1: 'A', 28: 'AAAA' } as const;
const NAME_ERROR = 3;

/** A name server on 127.0.0.1 that answers what it is told, and remembers what it was asked. */
export class NameServer {
  /** `A hooks.test` and so on, in the order of arrival. */
  readonly asked: string[] = [];
  /** Addresses of a name, of both families; undefined: there is no such name; 'silence': no answer. */
  answer: (name: string) => readonly string[] | undefined | 'silence' = () => undefined;

  private constructor(private readonly socket: Socket) {}

  static async open(): Promise<NameServer> {
    const socket = createSocket('udp4');
    const server = new NameServer(socket);
    socket.on('message', (query, from) => {
      const reply = server.#reply(query);
      if (reply) socket.send(reply, from.port, from.address);
    });
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return server;
  }

  /** A client of this server and of no other. */
  resolver(): dns.Resolver {
    const resolver = new dns.Resolver({ timeout: 10_000, tries: 1 });
    resolver.setServers([`127.0.0.1:${this.socket.address().port}`]);
    return resolver;
  }

  close(): void {
    this.socket.close();
  }

  /** RFC 1035: header, the question as it came, and an answer for each address of the type that was asked for. */
  #reply(query: Buffer): Buffer | undefined {
    const labels: string[] = [];
    let at = 12;
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      labels.push(query.toString('latin1', at + 1, at + 1 + length));
      at += 1 + length;
    }
    const name = labels.join('.').toLowerCase();
    const type = query.readUInt16BE(at + 1);
    const question = query.subarray(12, at + 5);
    this.asked.push(`${TYPES[type as keyof typeof TYPES] ?? type} ${name}`);
    const addresses = this.answer(name);
    if (addresses === 'silence') return undefined;
    const records = (addresses ?? []).filter((address) => isIPv4(address) === (type === 1)).map(addressBytes);
    const header = Buffer.alloc(12);
    query.copy(header, 0, 0, 2);
    header.writeUInt16BE(0x8180 | (addresses ? 0 : NAME_ERROR), 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(records.length, 6);
    return Buffer.concat([
      header,
      question,
      ...records.flatMap((bytes) => {
        const fixed = Buffer.alloc(12);
        fixed.writeUInt16BE(0xc00c, 0);
        fixed.writeUInt16BE(type, 2);
        fixed.writeUInt16BE(1, 4);
        fixed.writeUInt32BE(0, 6);
        fixed.writeUInt16BE(bytes.length, 10);
        return [fixed, bytes];
      }),
    ]);
  }
}

/** IPv6 as eight groups, or as `::` and at most seven behind it. */
function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number));
  const [before = '', behind] = address.split('::');
  const groups = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
  const [head, tail] = [groups(before), groups(behind ?? '')];
  const all = [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail];
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 255]));
}
