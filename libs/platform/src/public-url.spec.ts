import { describe, expect, it } from 'vitest';
import { publicUrl, UrlRefused } from './public-url.js';

const REFUSED = ['168.63.129.16/32', '198.200.0.0/16', '2606:4700::/32'];

const refusalOf = (text: string, allowLoopback = false): string | undefined => {
  try {
    publicUrl(text, { allowLoopback, refusedNetworks: REFUSED });
    return undefined;
  } catch (error) {
    if (!(error instanceof UrlRefused)) throw error;
    return error.message;
  }
};

describe('publicUrl', () => {
  it.each([
    'https://168.63.129.16/',
    'https://0xa83f8110/',
    'https://[::ffff:168.63.129.16]/',
    'https://198.200.7.9:8443/',
    'https://[2606:4700:4700::1111]/',
  ])('refuses %s, which is of a network that the settings refuse', (text) =>
    expect(refusalOf(text)).toBe('must lead to the public internet'),
  );

  it.each([
    'https://example.com/',
    'https://example.com/hooks?shop=7',
    'https://hooks.example.com:8443/a/b',
    'https://xn--bcher-kva.example/',
    'https://1.1.1.1/',
    'https://[2606:4700:4700::1111]:8443/',
    `https://example.com/${'x'.repeat(2_000)}`,
    'https://168.63.129.15/',
    'https://168.63.129.17/',
  ])('takes %s', (text) =>
    expect(publicUrl(text, { allowLoopback: false, refusedNetworks: ['168.63.129.16/32'] }).href).toBe(text),
  );

  it.each([
    ['', 'visible ASCII'],
    ['/hooks', 'absolute URL'],
    ['https://', 'absolute URL'],
    ['https://exa mple.com/', 'visible ASCII'],
    ['https://example.com/\n', 'visible ASCII'],
    ['ht\ttps://example.com/', 'visible ASCII'],
    ['https://bücher.example/', 'visible ASCII'],
    ['https://１２７.0.0.1/', 'visible ASCII'],
    [`https://example.com/${'x'.repeat(2_048)}`, 'at most 2048'],
    ['http://example.com/', 'https'],
    ['ftp://example.com/', 'https'],
    ['file:///etc/passwd', 'https'],
    ['javascript:alert(1)', 'https'],
    ['data:text/plain,x', 'https'],
    ['https://user@example.com/', 'user name'],
    ['https://:secret@example.com/', 'user name'],
    ['https://1.1.1.1@127.0.0.1/', 'user name'],
    ['https://example.com/#part', 'fragment'],
    ['https://example.com:22/', 'port'],
    ['https://example.com:80/', 'port'],
    ['https://example.com:1023/', 'port'],
    ['https://example.com:0/', 'port'],
    ['https://example.com:65536/', 'absolute URL'],
  ])('refuses %s', (text, why) => expect(refusalOf(text)).toContain(why));

  it.each([
    'localhost',
    'LOCALHOST',
    'localhost.',
    'a.localhost',
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0x7f.1',
    '0x7f000001',
    '0177.0.0.1',
    '0177.0.0.01',
    '017700000001',
    '127.0.0.1.',
    '%31%32%37.0.0.1',
    '0',
    '0.0.0.0',
    '10.1.2.3',
    '0xa9fea9fe',
    '169.254.169.254',
    '192.168.257',
    '[::]',
    '[::1]',
    '[0:0:0:0:0:0:0:1]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[::127.0.0.1]',
    '[64:ff9b::127.0.0.1]',
    '[2002:7f00:1::]',
    '[2001:0:4136:e378:8000:63bf:3fff:fdd2]',
    '[fe80::1]',
    '[fd00::1]',
    '[ff02::1]',
  ])('refuses https://%s/: it is not on the public internet', (host) =>
    expect(refusalOf(`https://${host}/`)).toContain('public internet'),
  );

  describe('where loopback is allowed', () => {
    it.each([
      'http://127.0.0.1:9000/',
      'http://localhost/',
      'http://a.localhost:9000/',
      'http://[::1]:9000/',
      'http://2130706433:9000/',
      'https://localhost:9000/',
      'https://example.com/',
      'https://168.63.129.15/',
      'https://168.63.129.17/',
    ])('takes %s', (text) => expect(refusalOf(text, true)).toBeUndefined());

    it.each([
      'http://example.com/',
      'http://10.0.0.1/',
      'http://0.0.0.0:9000/',
      'https://10.0.0.1/',
      'http://[::ffff:127.0.0.1]:9000/',
      'https://[::ffff:127.0.0.1]:9000/',
      'http://localhost.example.com/',
      'http://notlocalhost/',
      'http://127.0.0.1:22/',
    ])('still refuses %s', (text) => expect(refusalOf(text, true)).toBeDefined());
  });
});
