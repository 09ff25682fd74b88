import { isIP } from 'node:net';
import { isLoopbackAddress, isPublicAddress, networkList } from './public-address.js';
import type { PlatformSettings } from './settings.js';

const MAX_URL_LENGTH = 2_048;
/** Below it live services that speak no HTTP; only the scheme's own port is let through. */
const FIRST_FREE_PORT = 1_024;

/** A URL that is not called; `message` is a sentence without its subject, for the client. */
export class UrlRefused extends Error {
  override name = 'UrlRefused';
}

export interface UrlRules {
  /** WEBHOOK_ALLOW_LOOPBACK: this machine may be called, also without TLS. */
  allowLoopback: boolean;
  /** WEBHOOK_REFUSED_NETWORKS. */
  refusedNetworks: readonly string[];
}

export function urlRulesOf(
  config: Pick<PlatformSettings, 'webhookAllowLoopback' | 'webhookRefusedNetworks'>,
): UrlRules {
  return { allowLoopback: config.webhookAllowLoopback, refusedNetworks: config.webhookRefusedNetworks };
}

/**
 * The URL as it will be called. WHATWG parsing comes first: it turns 0x7f.1, 2130706433, 0177.0.0.1 and full-width digits
 * into 127.0.0.1, so that what is checked is what is connected to. Names are checked when they have been resolved, before
 * each request. Throws UrlRefused.
 */
export function publicUrl(text: string, { allowLoopback, refusedNetworks }: UrlRules): URL {
  if (text.length > MAX_URL_LENGTH) throw new UrlRefused(`must have at most ${MAX_URL_LENGTH} characters`);
  // The parser would drop line feeds and tabs without a word.
  if (!/^[\x21-\x7e]+$/.test(text)) throw new UrlRefused('must be a URL of visible ASCII characters');
  if (!URL.canParse(text)) throw new UrlRefused('must be an absolute URL, such as https://example.com/webhooks');
  const url = new URL(text);
  const isLocal = isLoopbackHost(hostOf(url));
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLocal && allowLoopback))
    throw new UrlRefused('must begin with https://');
  if (url.username !== '' || url.password !== '') throw new UrlRefused('must not have a user name or password');
  if (url.hash !== '') throw new UrlRefused('must not have a fragment');
  if (url.port !== '' && Number(url.port) < FIRST_FREE_PORT)
    throw new UrlRefused(`must not name a port below ${FIRST_FREE_PORT} other than the scheme's own`);
  const host = hostOf(url);
  const isRefused = isLocal ? !allowLoopback : isIP(host) !== 0 && !isPublicAddress(host, networkList(refusedNetworks));
  if (isRefused) throw new UrlRefused('must lead to the public internet');
  return url;
}

/** The host as `net` takes it: IPv6 without its brackets. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

/** RFC 6761: `localhost` and names below it never leave the machine, whatever a name server says. */
export function isLocalhostName(host: string): boolean {
  return /(^|\.)localhost\.?$/.test(host);
}

function isLoopbackHost(host: string): boolean {
  return isIP(host) === 0 ? isLocalhostName(host) : isLoopbackAddress(host);
}
