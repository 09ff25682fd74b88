import { BlockList, isIPv4, isIPv6 } from 'node:net';

/**
 * IPv4 that is not the public internet (IANA's special-purpose registry): this network, private, carrier-grade NAT,
 * loopback, link-local (cloud metadata lives there), protocol assignments, documentation, 6to4 relays, benchmarking,
 * multicast, reserved and broadcast.
 */
const NOT_PUBLIC_V4: [string, number][] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
];
/**
 * Of IPv6 only global unicast is public; everything outside of it is refused without a list: loopback, unspecified, mapped
 * (::ffff:0:0/96), translated (64:ff9b::/96), unique local, link-local, site-local, multicast, discard.
 */
const GLOBAL_UNICAST_V6: [string, number] = ['2000::', 3];
/** What of it is special all the same: protocol assignments with Teredo and ORCHID, documentation (twice), 6to4. */
const NOT_PUBLIC_V6: [string, number][] = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
];

const notPublic = new BlockList();
for (const [network, bits] of NOT_PUBLIC_V4) notPublic.addSubnet(network, bits, 'ipv4');
for (const [network, bits] of NOT_PUBLIC_V6) notPublic.addSubnet(network, bits, 'ipv6');
const globalUnicast = new BlockList();
globalUnicast.addSubnet(...GLOBAL_UNICAST_V6, 'ipv6');
const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

const NOTHING_MORE = new BlockList();

/** A list of networks written as `address/bits`. */
export function networkList(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', bits = ''] = network.split('/');
    list.addSubnet(address, Number(bits), isIPv4(address) ? 'ipv4' : 'ipv6');
  }
  return list;
}

/**
 * Whether an address, as a resolver or a parsed URL gives it, is somebody's on the public internet, and not of the networks
 * that are `refused` besides.
 */
export function isPublicAddress(address: string, refused: BlockList = NOTHING_MORE): boolean {
  if (isIPv4(address)) return !notPublic.check(address, 'ipv4') && !refused.check(address, 'ipv4');
  if (!isIPv6(address) || refused.check(address, 'ipv6')) return false;
  return globalUnicast.check(address, 'ipv6') && !notPublic.check(address, 'ipv6');
}

/** 127.0.0.0/8 or ::1; mapped forms are neither. */
export function isLoopbackAddress(address: string): boolean {
  if (isIPv4(address)) return loopback.check(address, 'ipv4');
  return isIPv6(address) && !/^::ffff:/i.test(address) && loopback.check(address, 'ipv6');
}
