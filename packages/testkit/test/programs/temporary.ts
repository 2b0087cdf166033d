/** Makes a temporary directory with a file in it, prints its path, and stays. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from '@canopy/testkit';

const directory = await temporaryDirectory('dies');
await writeFile(join(directory.path, 'file'), 'content');
process.stdout.write(`path ${directory.path}\n`);
process.stdin.resume();
