// API and worker of `npm start`.
import { root } from './compile.mjs';
import { isPortFree, portOrNext } from './ports.mjs';
import { Child } from './services/child.mjs';

/** The API's; the worker has the next one. What Prometheus' registry of ports has for OpenTelemetry. */
const DEFAULT_METRICS_PORT = 9464;
const READY_WITHIN_MS = 60_000;
const START_TRIES = 5;

/**
 * Starts both and waits until the API is ready. A port that was free a moment ago may be another start's by now (which would even
 * answer that it is ready): then both start again, with other ports.
 * @param {object} options
 * @param {import('./services/supervise.mjs').Keep} options.keep
 * @param {NodeJS.ProcessEnv} options.env
 * @param {() => Promise<number>} options.choosePort
 */
export async function startPrograms({ keep, env, choosePort }) {
  for (let tries = 1; ; tries += 1) {
    const port = await choosePort();
    const apiMetrics = await portOrNext(Number(env.METRICS_PORT || DEFAULT_METRICS_PORT));
    const workerMetrics = await portOrNext(apiMetrics + 1);
    /** @param {string} name @param {string} app @param {number} metricsPort */
    const run = (name, app, metricsPort) => {
      const own = { ...env, PORT: String(port), METRICS_PORT: String(metricsPort) };
      return keep(Child.node(name, [`dist/apps/${app}/src/main.js`], { cwd: root, env: own }));
    };
    const [api, worker] = [run('the API', 'api', apiMetrics), run('the worker', 'worker', workerMetrics)];
    const url = `http://127.0.0.1:${port}`;
    try {
      await Promise.all([api, worker].map((child) => child.firstWord(READY_WITHIN_MS)));
      await api.ready(READY_WITHIN_MS, async () => (await fetch(`${url}/readyz`).catch(() => undefined))?.ok ?? false);
      return { api, worker, url, apiMetrics, workerMetrics };
    } catch (error) {
      await Promise.all([api.stop(), worker.stop()]);
      const free = await Promise.all([port, apiMetrics, workerMetrics].map((one) => isPortFree(one, env.HOST)));
      if (free.every(Boolean) || tries === START_TRIES) throw error;
    }
  }
}
