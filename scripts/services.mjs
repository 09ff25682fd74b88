// npm run services: just the private servers. Prints their URLs as lines for a shell and stays until Ctrl-C.
import { dataFolder, openSubFolder } from './services/data-folder.mjs';
import { announceRunning } from './services/running.mjs';
import { serviceEnvironment, startServices } from './services/start-services.mjs';
import { supervise } from './services/supervise.mjs';

const notice = (/** @type {string} */ message) => console.error(`# ${message}`);

await supervise(async (keep) => {
  const services = keep(await startServices({ onNotice: notice }));
  const env = serviceEnvironment(services);
  announceRunning(openSubFolder(dataFolder(), 'demo'), env);
  for (const [name, url] of Object.entries(env)) console.log(`export ${name}='${url}'`);
  notice('The servers run until Ctrl-C. Their data stays; `npm run reset` deletes it.');
  throw await services.lost;
});
