/** What must be true after each fault, looked up in the files, in the log and in a restore. */
import { join } from 'node:path';
import { openLog, restore, type SegmentLog } from '@canopy/sqlite';
import { brokenChain, brokenMarks, droppedMarks, leftOver, lostMarks } from './history.ts';
import { damage, keptMarks, readMarks, removeFile } from './marks.ts';
import type { DatabaseStage } from './stage.ts';

const CAUGHT_UP_MS = 60_000;
const LOOKS = 5;
const LOOK_AGAIN_MS = 1000;
/** The primary looks at a log in which nothing happens every 75 s, and once more for what has come up meanwhile. */
const TIDIED_MS = 180_000;

/** Everything that is wrong. The application must have ended. */
export async function judge(stage: DatabaseStage, directory: string, withRestore: boolean): Promise<readonly string[]> {
  const problems: string[] = [];
  const { primary, acknowledged, committed } = stage;
  const end = await primary.database.sync({ signal: AbortSignal.timeout(CAUGHT_UP_MS) });
  const marks = readMarks(primary.path);
  problems.push(...lostMarks(acknowledged, marks, `primary ${primary.name}`), ...damage(primary.path, primary.name));
  for (const node of stage.standbys) {
    await stage.ready(node);
    await node.database.waitFor(end, { signal: AbortSignal.timeout(CAUGHT_UP_MS) });
    const found = readMarks(node.path);
    problems.push(...damage(node.path, node.name), ...lostMarks(acknowledged, found, `standby ${node.name}`));
    if (JSON.stringify([...found]) !== JSON.stringify([...marks]))
      problems.push(`${node.name} is not equal to the primary`);
  }
  for (const node of stage.nodes) problems.push(...node.torn.map((line) => `a reader of ${node.name}: ${line}`));
  const kept = stage.nodes.flatMap((node) => keptMarks(node.path));
  problems.push(...droppedMarks(committed, marks, kept), ...kept.flatMap((one) => brokenMarks(one, 'kept aside')));
  // What the log has not is settled: kept aside once, not to be asked for again.
  committed.clear();
  problems.push(...(await judgeLog(stage, directory, withRestore)));
  return problems;
}

async function judgeLog(stage: DatabaseStage, directory: string, withRestore: boolean): Promise<readonly string[]> {
  const store = { ...stage.nats.connection, bucket: 'crash_app_wal' };
  const opened = await openLog(store);
  try {
    const problems = await chainProblems(stage, opened.log);
    if (!withRestore) return problems;
    const dest = join(directory, 'restored.db');
    await restore({ log: opened.log, dest, check: 'full' });
    problems.push(...lostMarks(stage.acknowledged, readMarks(dest), 'a restore'));
    removeFile(dest);
    return problems;
  } finally {
    await opened.close();
  }
}

/** A listing that runs beside a deletion may miss what lies between the two: a hole that is one stays. */
async function chainProblems(stage: DatabaseStage, log: SegmentLog): Promise<string[]> {
  for (let look = 1; ; look++) {
    const entries = await log.entries();
    const problems = brokenChain(entries);
    if (problems.length === 0) return [];
    if (look < LOOKS) {
      await stage.env.clock.sleep(LOOK_AGAIN_MS);
      continue;
    }
    const left = leftOver(
      entries,
      (await log.all()).filter(({ level }) => level > 0),
    );
    if (left === undefined) return [...problems];
    const rest = brokenChain(entries.slice(1));
    return (await isRemoved(stage, log, left.maxTxid)) ? [...rest] : [...problems];
  }
}

/** What is left over is for the primary to remove, and no harm until its next look. */
async function isRemoved({ env }: DatabaseStage, log: SegmentLog, txid: number): Promise<boolean> {
  const until = env.clock.monotonic() + TIDIED_MS;
  while (env.clock.monotonic() < until) {
    if ((await log.entry(txid)) === undefined) return true;
    await env.clock.sleep(LOOK_AGAIN_MS);
  }
  return false;
}
