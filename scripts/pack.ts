/** `npm run pack -- [DIRECTORY]`: the packages as they would be published, as tarballs in DIRECTORY (default dist/). */
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packAll } from './pack/build.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const out = resolve(process.argv[2] ?? join(root, 'dist'));
for (const { name, file } of packAll(root, join(out, '.work'), out)) process.stdout.write(`${name} ${file}\n`);
