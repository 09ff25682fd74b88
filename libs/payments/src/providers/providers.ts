import { ADYEN } from './adyen.js';
import { genericProvider } from './generic.js';
import type { Provider } from './provider.js';
import { STRIPE } from './stripe.js';

/** `payment` is the subject of payments that no provider knows by a reference. */
const RESERVED = 'payment';
const NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;

export function isProviderName(name: string): boolean {
  return NAME.test(name) && name !== RESERVED;
}

/** How a provider signs and what its messages mean. Whoever is not known by name speaks the contract's own form. */
export function providerOf(name: string): Provider {
  if (name === 'stripe') return STRIPE;
  return name === 'adyen' ? ADYEN : genericProvider(name);
}
