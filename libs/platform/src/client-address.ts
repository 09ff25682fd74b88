import { type BlockList, isIPv4, isIPv6 } from 'node:net';
import { networkList } from './public-address.js';

/** What is known of where a request comes from; Node's request is one. */
export interface Peer {
  readonly socket: { readonly remoteAddress?: string | undefined };
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** Of whom neither the system nor a proxy tells one, such as a client that has gone already. */
const UNKNOWN = 'unknown';
/** Some proxies add the port: `192.0.2.1:4711`, `[2001:db8::1]:4711`. */
const WITH_PORT = /^(?:([0-9.]+):|\[([^\]]+)\](?::|$))[0-9]*$/;
const GROUPS_OF_NETWORK = 4;
const GROUPS = 8;
/** Of IPv6 that stands for IPv4 in its last two groups: mapped by a socket for both (RFC 4291), translated on the way (RFC 6052). */
const MAPPED = [0, 0, 0, 0, 0, 0xffff];
const TRANSLATED = [0x64, 0xff9b, 0, 0, 0, 0];

/**
 * Tells the address that a request comes from. A proxy's word counts where the proxy is trusted: then it is the last in
 * `X-Forwarded-For` that is no trusted proxy itself. What stands before that one is the client's own invention.
 */
export class ClientAddresses {
  readonly #trusted: BlockList;

  /** Networks as `address/bits`. */
  constructor(trustedProxies: readonly string[]) {
    this.#trusted = networkList(trustedProxies);
  }

  of({ socket, headers }: Peer): string {
    let address = plain(socket.remoteAddress ?? UNKNOWN);
    // Several headers of that name are one list, which Node has joined.
    const hops = String(headers['x-forwarded-for'] ?? '').split(',');
    while (this.#isTrusted(address)) {
      const next = plain(hops.pop()?.trim() ?? '');
      if (!isIPv4(next) && !isIPv6(next)) break;
      address = next;
    }
    return address;
  }

  #isTrusted(address: string): boolean {
    if (isIPv4(address)) return this.#trusted.check(address, 'ipv4');
    return isIPv6(address) && this.#trusted.check(address, 'ipv6');
  }
}

/** Whom an address belongs to: of IPv6 everybody has a network of 64 bits at least, but for who has IPv4 in truth. */
export function networkOf(address: string): string {
  if (!isIPv6(address)) return address;
  const groups = groupsOf(address);
  if (begins(groups, TRANSLATED)) return ipv4Of(groups);
  const network = groups.slice(0, GROUPS_OF_NETWORK);
  return `${network.map((group) => group.toString(16)).join(':')}::/64`;
}

/** Without a port; of IPv4 there is one spelling. */
function plain(text: string): string {
  const [, ipv4, ipv6] = WITH_PORT.exec(text) ?? [];
  const address = ipv4 ?? ipv6 ?? text;
  if (!isIPv6(address)) return address;
  const groups = groupsOf(address);
  return begins(groups, MAPPED) ? ipv4Of(groups) : address;
}

/** Of IPv6. */
function groupsOf(address: string): number[] {
  const [head = '', tail] = (address.split('%', 1)[0] ?? '').split('::');
  const first = numbersOf(head);
  const last = tail === undefined ? [] : numbersOf(tail);
  const between = Array<number>(Math.max(0, GROUPS - first.length - last.length)).fill(0);
  return [...first, ...between, ...last];
}

function numbersOf(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => (group.includes('.') ? pairsOf(group) : [Number.parseInt(group, 16)]));
}

/** An IPv4 address at the end is two groups. */
function pairsOf(ipv4: string): number[] {
  const [a = 0, b = 0, c = 0, d = 0] = ipv4.split('.').map(Number);
  return [a * 256 + b, c * 256 + d];
}

function begins(groups: readonly number[], prefix: readonly number[]): boolean {
  return prefix.every((group, place) => groups[place] === group);
}

function ipv4Of(groups: readonly number[]): string {
  return groups
    .slice(-2)
    .flatMap((pair) => [pair >> 8, pair & 255])
    .join('.');
}
