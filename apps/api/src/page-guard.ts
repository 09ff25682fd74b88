import type { FastifyReply, FastifyRequest, RouteOptions } from 'fastify';

/** Pages for a browser. Their scripts are their own, they ask nobody else, and they are in nobody's frame. */
const PAGES = /^\/(?:docs|board)(?:$|[/*])/;
const HEADERS = {
  'content-security-policy':
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
  'x-frame-options': 'DENY',
  // Also over what the plugin for files says of its own.
  'cache-control': 'no-store',
};

/** Puts the headers on every answer of a route that is a page's. */
export function guardPage(route: RouteOptions): void {
  if (!PAGES.test(route.url)) return;
  const earlier = [route.onSend ?? []].flat();
  route.onSend = [...earlier, addHeaders] as never;
}

function addHeaders(_request: FastifyRequest, reply: FastifyReply, _payload: unknown, done: () => void): void {
  reply.headers(HEADERS);
  done();
}
