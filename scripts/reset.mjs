// npm run reset: deletes the data of the private servers. Refuses while a live service holds it.
import { dataFolder } from './services/data-folder.mjs';
import { exitWith } from './services/on-stop-request.mjs';
import { resetData } from './services/reset-data.mjs';

try {
  const folder = dataFolder();
  const deleted = await resetData(folder);
  console.log(deleted ? `Deleted the data in ${folder}.` : `There is no data in ${folder}.`);
} catch (error) {
  exitWith(error);
}
