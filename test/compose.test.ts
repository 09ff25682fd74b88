import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { readConfig } from '../apps/config.js';

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
const compose = parse(read('docker-compose.yml'), { merge: true });

/** With the defaults that Compose would fill in: `${NAME:-default}`. */
function environmentOf(service: string): Record<string, string> {
  const text = JSON.stringify(compose.services[service].environment);
  return JSON.parse(text.replace(/\$\{\w+:-([^}]*)\}/g, '$1'));
}

test('docker-compose.yml is what the schema of Compose v2 allows', () => {
  // The Compose specification's own schema, as the linter dclint ships it. Its "$schema" has an address that Ajv does not know.
  const { $schema: _, ...schema } = JSON.parse(read('node_modules/dclint/schemas/compose.schema.json'));
  const validate = new Ajv({ strict: false, allErrors: true, logger: false }).compile(schema);
  validate(compose);
  expect(validate.errors ?? []).toEqual([]);
  expect(validate({ ...compose, nmae: 'counterfoil' })).toBe(false);
});

test('its services have settings that the service accepts, every trace, and metrics that the host may read', () => {
  const gateway = compose.networks.default.ipam.config[0].gateway;
  for (const service of ['migrate', 'api', 'worker']) {
    const config = readConfig(environmentOf(service));
    expect(config.traceSampleRatio).toBe(1);
    expect(config.metricsAllow).toContain(gateway);
  }
  for (const service of ['api', 'worker']) {
    const { metricsPort } = readConfig(environmentOf(service));
    const inside = compose.services[service].ports.map((port: string) => Number(port.split(':').at(-1)));
    expect(inside).toContain(metricsPort);
  }
});

test('its bank has the secret of those who ask it, calls the API back, and keeps what it was told', () => {
  const { BANK_PORT, BANK_SECRET, BANK_CALLBACK, BANK_STATE = '' } = environmentOf('bank');
  for (const service of ['api', 'worker']) {
    const { bankUrl, bankSecret } = readConfig(environmentOf(service));
    expect([bankUrl, bankSecret]).toEqual([`http://bank:${BANK_PORT}`, BANK_SECRET]);
  }
  expect(BANK_CALLBACK).toBe(`http://api:${readConfig(environmentOf('api')).port}/v1/bank/callbacks`);
  const [, folder] = compose.services.bank.volumes[0].split(':');
  expect(BANK_STATE.startsWith(`${folder}/`)).toBe(true);
  // Nobody but root could write to a volume on a folder that the image does not have.
  expect(read('Dockerfile')).toContain(`install -d -o node ${folder}\n`);
});

test('whatever a service waits for is a service that says when it is ready, or ends', () => {
  const names = Object.keys(compose.services);
  for (const { depends_on: needs = {} } of Object.values<{ depends_on?: Record<string, { condition: string }> }>(
    compose.services,
  )) {
    for (const [name, { condition }] of Object.entries(needs)) {
      expect(names).toContain(name);
      if (condition === 'service_healthy') expect(compose.services[name].healthcheck).toBeDefined();
      else
        expect([condition, compose.services[name].restart]).toEqual(['service_completed_successfully', 'on-failure']);
    }
  }
});

test('what looks at it is asked for by a profile, may read the metrics that are scraped, and finds its files', () => {
  const { jaeger, prometheus, grafana } = compose.services;
  for (const service of [jaeger, prometheus, grafana]) expect(service.profiles).toEqual(['observability']);
  for (const image of [jaeger.image, prometheus.image, grafana.image]) expect(image).toMatch(/:v?\d+\.\d+\.\d+$/);
  const { ipv4_address: address } = prometheus.networks.default;
  const [{ targets }] = parse(read('ops/prometheus.yml')).scrape_configs[0].static_configs;
  for (const target of targets) {
    const [service, port] = String(target).split(':');
    const { metricsAllow, metricsPort } = readConfig(environmentOf(String(service)));
    expect([target, metricsAllow.includes(address), metricsPort]).toEqual([target, true, Number(port)]);
  }
  expect(prometheus.command[0]).toBe('--config.file=/etc/counterfoil/prometheus.yml');
  const mounted = [...prometheus.volumes, ...grafana.volumes].map((volume: string) => volume.split(':')[0]);
  for (const path of mounted) expect([path, existsSync(new URL(`../${path}`, import.meta.url))]).toEqual([path, true]);
  const sources = parse(read('ops/grafana/datasources.yml')).datasources;
  const used = readdirSync(new URL('../ops/dashboards', import.meta.url)).flatMap((name) =>
    JSON.parse(read(`ops/dashboards/${name}`)).panels.flatMap(
      (panel: { datasource?: { uid: string } }) => panel.datasource?.uid ?? [],
    ),
  );
  const known = sources.map(({ uid }: { uid: string }) => uid);
  expect(used.filter((uid) => !known.includes(uid))).toEqual([]);
  expect(sources[0].url).toBe('http://prometheus:9090');
  expect(parse(read('ops/grafana/dashboards.yml')).providers[0].options.path).toBe(grafana.volumes[0].split(':')[1]);
});
