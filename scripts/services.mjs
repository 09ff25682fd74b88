// npm run services: just the private servers. Prints their URLs as lines for a shell and stays until Ctrl-C.
import { dataFolder, openSubFolder } from './services/data-folder.mjs';
import { exitWith, onStopRequest } from './services/on-stop-request.mjs';
import { announceRunning } from './services/running.mjs';
import { serviceEnvironment, startServices } from './services/start-services.mjs';

const notice = (/** @type {string} */ message) => console.error(`# ${message}`);

try {
  let stopAsked = false;
  /** @type {() => void} */
  let stopNow = () => {};
  /** @type {Promise<void>} */
  const asked = new Promise((resolve) => {
    stopNow = resolve;
  });
  onStopRequest(() => {
    stopAsked = true;
    stopNow();
  });
  const services = await startServices({ onNotice: notice });
  if (!stopAsked) {
    const env = serviceEnvironment(services);
    announceRunning(openSubFolder(dataFolder(), 'demo'), env);
    for (const [name, url] of Object.entries(env)) console.log(`export ${name}='${url}'`);
    notice('The servers run until Ctrl-C. Their data stays; `npm run reset` deletes it.');
  }
  // Something must keep this process alive when all servers are the environment's.
  const alive = setInterval(() => {}, 60_000);
  const lost = await Promise.race([asked, services.lost]);
  clearInterval(alive);
  await services.stop();
  if (lost) exitWith(lost);
  process.exit(0);
} catch (error) {
  exitWith(error);
}
