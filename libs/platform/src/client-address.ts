import { type BlockList, isIPv4, isIPv6 } from 'node:net';
import { networkList } from './public-address.js';

/** What is known of where a request comes from; Node's request is one. */
export interface Peer {
  readonly socket: { readonly remoteAddress?: string | undefined };
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** Of whom neither the system nor a proxy tells one, such as a client that has gone already. */
const UNKNOWN = 'unknown';
const MAPPED = /^::ffff:(?=[0-9.]+$)/i;
const GROUPS_OF_NETWORK = 4;
const GROUPS = 8;

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

/** Whom an address belongs to: of IPv6 everybody has a network of 64 bits at least. */
export function networkOf(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = '', tail] = (address.split('%', 1)[0] ?? '').toLowerCase().split('::');
  const first = groupsOf(head);
  const last = tail === undefined ? [] : groupsOf(tail);
  const between = Array<string>(Math.max(0, GROUPS - first.length - last.length)).fill('0');
  const groups = [...first, ...between, ...last].slice(0, GROUPS_OF_NETWORK);
  return `${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`;
}

/** An IPv4 address at the end stands for two groups; it never is in the network's half. */
function groupsOf(text: string): string[] {
  return text === '' ? [] : text.split(':').flatMap((group) => (group.includes('.') ? ['0', '0'] : [group]));
}

function plain(address: string): string {
  return address.replace(MAPPED, '');
}
