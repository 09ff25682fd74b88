// npm run webhook-sink: has the webhooks of the merchant whose key is in KEY sent to a receiver here, and shows each as it
// arrives, until Ctrl-C, which deletes the endpoint again.
import { callApi } from './call-api.mjs';
import { exitWith, onStopRequest } from './services/on-stop-request.mjs';
import { useRunningApi } from './services/running.mjs';
import { ServicesError } from './services/services-error.mjs';
import { WebhookReceiver, webhookLine } from './webhook-receiver.mjs';

const PATH = '/webhook-sink';

useRunningApi();
try {
  const { KEY = '', COUNTERFOIL_URL = '' } = process.env;
  if (!KEY.startsWith('cfm_'))
    throw new ServicesError('whose webhooks? `export KEY=` a merchant’s key (cfm_…) first; `npm start` prints three.');
  const receiver = await WebhookReceiver.listen({
    path: PATH,
    told: (event, body) => console.log(`${webhookLine(event)}\n  ${body}`),
  });
  /** @type {import('./webhook-receiver.mjs').Call} */
  const call = (method, path, body) => callApi({ url: COUNTERFOIL_URL, key: KEY, method, path, body });
  const asked = new Promise((resolve) => onStopRequest(() => resolve(undefined)));
  await receiver.register(call);
  console.log(
    `Registered ${receiver.url} as webhook endpoint ${receiver.endpoint.id}. What happens now arrives here; Ctrl-C ends it.`,
  );
  await asked;
  await call('DELETE', `/v1/webhook_endpoints/${receiver.endpoint.id}`);
  console.log('The endpoint is deleted again.');
  process.exit(0);
} catch (error) {
  exitWith(error);
}
