import { DRILLS, type DrillName } from '../alert.js';
import { ALERTS } from '../alerts.js';
import { HARMS } from './harms.js';
import { Stage } from './stage.js';

/** Rules look each second, and what counts timers, payouts and webhooks every ten. */
const FIRES_WITHIN_S = 90;
const GONE_WITHIN_S = 150;

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !(DRILLS as readonly string[]).includes(name));
if (unknown.length > 0) {
  console.error(`counterfoil: there is no drill ${unknown.join(', ')}. There are: ${DRILLS.join(', ')}.`);
  process.exit(1);
}

const stage = await Stage.open();
let failed = 0;
try {
  console.log('| drill | what is done | alert | fired after | gone after healing |\n|---|---|---|---|---|');
  for (const name of asked.length > 0 ? (asked as DrillName[]) : DRILLS) await drill(name);
} finally {
  await stage.close();
}
console.log(failed === 0 ? '\nEach alert fired, and was gone again.' : `\n${failed} did not.`);
process.exit(failed === 0 ? 0 : 1);

async function drill(name: DrillName): Promise<void> {
  const names = ALERTS.flatMap((alert) => (alert.drill === name ? [alert.name] : []));
  const { what, harm } = HARMS[name];
  try {
    await stage.until('all is quiet before', GONE_WITHIN_S, async () =>
      (await stage.alerts()).every((one) => !names.includes(one.name)),
    );
    const heal = await harm(stage);
    const fired = await Promise.all(names.map((one) => firing(one))).finally(heal);
    const gone = await Promise.all(names.map((one) => quiet(one)));
    for (const [at, one] of names.entries())
      row(name, what, one, `${fired[at]?.toFixed(0)} s`, `${gone[at]?.toFixed(0)} s`);
  } catch (error) {
    failed += 1;
    row(name, what, names.join(', '), 'no', error instanceof Error ? error.message : String(error));
  }
}

function firing(name: string): Promise<number> {
  const isIt = (alerts: Awaited<ReturnType<Stage['alerts']>>) =>
    alerts.some((one) => one.name === name && one.state === 'firing');
  return stage.until(`${name} fires`, FIRES_WITHIN_S, async () => isIt(await stage.alerts()));
}

function quiet(name: string): Promise<number> {
  return stage.until(`${name} is gone`, GONE_WITHIN_S, async () =>
    (await stage.alerts()).every((one) => one.name !== name),
  );
}

function row(...cells: readonly string[]): void {
  console.log(`| ${cells.join(' | ')} |`);
}
