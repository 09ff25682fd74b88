import { describe, expect, it } from 'vitest';
import { ClientAddresses, networkOf } from './client-address.js';

const PROXIES = ['10.0.0.0/8', '2001:db8:1::/48'];

function addressOf(remoteAddress: string | undefined, forwarded?: string | string[], trusted = PROXIES): string {
  return new ClientAddresses(trusted).of({ socket: { remoteAddress }, headers: { 'x-forwarded-for': forwarded } });
}

describe('the address of a request', () => {
  it.each([
    ['is its connection’s', '192.0.2.1', undefined, '192.0.2.1'],
    ['is not what a stranger says', '192.0.2.1', '198.51.100.7', '192.0.2.1'],
    ['is what a trusted proxy says', '10.1.2.3', '198.51.100.7', '198.51.100.7'],
    ['is the last one that no trusted proxy has', '10.1.2.3', '1.1.1.1, 198.51.100.7, 10.9.9.9', '198.51.100.7'],
    ['is the proxy’s where that says nothing', '10.1.2.3', undefined, '10.1.2.3'],
    ['is the proxy’s where that says what is no address', '10.1.2.3', 'unknown', '10.1.2.3'],
    ['is the farthest proxy’s where all are trusted', '10.1.2.3', '10.4.4.4, 10.5.5.5', '10.4.4.4'],
    ['is IPv4 where it is mapped', '::ffff:192.0.2.1', undefined, '192.0.2.1'],
    ['is what a mapped trusted proxy says', '::ffff:10.1.2.3', '::ffff:198.51.100.7', '198.51.100.7'],
    ['is what a trusted proxy of IPv6 says', '2001:db8:1::5', '2001:db8:2::9', '2001:db8:2::9'],
    ['is IPv4 where it is mapped in other words', '10.1.2.3', '0:0:0:0:0:FFFF:c633:6407', '198.51.100.7'],
    ['is what a proxy says that is trusted in other words', '10.1.2.3', '198.51.100.7, ::ffff:a09:909', '198.51.100.7'],
    ['is the client’s, whoever it says is behind it', '10.1.2.3', '10.9.9.9, 10.8.8.8, 198.51.100.7', '198.51.100.7'],
    ['is without the port that a proxy adds', '10.1.2.3', '198.51.100.7:4711', '198.51.100.7'],
    ['is without the port that a proxy adds to IPv6', '10.1.2.3', '[2001:db8:2::9]:4711', '2001:db8:2::9'],
    ['is without brackets', '10.1.2.3', '[2001:db8:2::9]', '2001:db8:2::9'],
    ['is the proxy’s where that says nothing last', '10.1.2.3', '198.51.100.7, ', '10.1.2.3'],
    ['is the proxy’s where that says what is no address any more', '10.1.2.3', '198.51.100.7, 999.1.1.1', '10.1.2.3'],
    ['is the last trusted one’s before what is no address', '10.1.2.3', '198.51.100.7, x, 10.9.9.9', '10.9.9.9'],
    ['is that of a link', 'fe80::1%eth0', '198.51.100.7', 'fe80::1%eth0'],
    ['is unknown of who has gone', undefined, '198.51.100.7', 'unknown'],
  ])('%s', (_, remote, forwarded, expected) => {
    expect(addressOf(remote, forwarded)).toBe(expected);
  });

  it('is the client’s at the end of as many hops as a head has room for, and is found in a moment', () => {
    const invented = Array(2_000).fill('1.1.1.1').join(',');
    const proxies = Array(1_000).fill('10.9.9.9').join(',');
    const began = performance.now();
    for (let n = 0; n < 100; n += 1) {
      expect(addressOf('10.1.2.3', `${invented},198.51.100.7`)).toBe('198.51.100.7');
      expect(addressOf('10.1.2.3', `${invented},198.51.100.7,${proxies}`)).toBe('198.51.100.7');
    }
    expect(performance.now() - began).toBeLessThan(5_000);
  });

  it('is nobody’s word where no proxy is trusted', () => {
    expect(addressOf('127.0.0.1', '198.51.100.7', [])).toBe('127.0.0.1');
  });
});

describe('the network of an address', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['2001:db8:a:b:1:2:3:4', '2001:db8:a:b::/64'],
    ['2001:0DB8:000a:b::', '2001:db8:a:b::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['64:ff9b::192.0.2.1', '192.0.2.1'],
    ['64:ff9b::c000:201', '192.0.2.1'],
    ['64:ff9b:1::192.0.2.1', '64:ff9b:1:0::/64'],
    ['unknown', 'unknown'],
  ])('of %s is %s', (address, network) => {
    expect(networkOf(address)).toBe(network);
  });

  it('has all addresses of 64 bits, and none of the next', () => {
    expect(networkOf('2001:db8:a:b::1')).toBe(networkOf('2001:db8:a:b:ffff::'));
    expect(networkOf('2001:db8:a:b::1')).not.toBe(networkOf('2001:db8:a:c::1'));
  });
});
