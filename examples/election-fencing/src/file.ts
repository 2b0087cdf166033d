/**
 * A counter in a directory that all copies of this program share. The worker is careless: it never looks at its signal. What
 * keeps it from writing after its term is the file, which knows the epoch. `file.ts DIRECTORY [--server URL] [--id NAME]`
 */
import { FencedFile } from '@canopy/election';
import { stand } from './options.ts';

const { env, election, place, say, id } = await stand('file');
const file = new FencedFile(place, () => env.random.uuid());

election.onPromote(async ({ epoch }) => {
  // From here on nobody of an earlier term can write; what they wrote last is what we go on from.
  let count = Number(new TextDecoder().decode(await file.claim(epoch)).split(' ')[0]) || 0;
  say(`leads under epoch ${epoch}, from ${count}`);
  try {
    for (;;) {
      await file.write(epoch, new TextEncoder().encode(`${++count} by ${id}`));
      say(`wrote ${count}`);
      await env.clock.sleep(200);
    }
  } catch (error) {
    say(`refused: ${(error as Error).message}`);
  }
});

await election.start();
say('stands');
