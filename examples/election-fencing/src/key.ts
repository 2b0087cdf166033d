/**
 * The same with a key of a KV bucket, which need not be the election's: `key.ts KEY [--server URL] [--id NAME]`. Here the write
 * itself is conditional on what was there, so the bucket refuses one that is based on an earlier term's view.
 */
import { FencedKey } from '@canopy/election';
import { stand } from './options.ts';

const { env, session, election, place, say, id } = await stand('key');
const key = new FencedKey(await session.ensureKv('counters'), place);

election.onPromote(async ({ epoch }) => {
  let count = Number(new TextDecoder().decode(await key.claim(epoch)).split(' ')[0]) || 0;
  say(`leads under epoch ${epoch}, from ${count}`);
  try {
    for (;;) {
      await key.write(epoch, new TextEncoder().encode(`${++count} by ${id}`));
      say(`wrote ${count}`);
      await env.clock.sleep(200);
    }
  } catch (error) {
    say(`refused: ${(error as Error).message}`);
  }
});

await election.start();
say('stands');
