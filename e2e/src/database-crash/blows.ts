/** Each fault of the campaign on the real thing. `strike` returns when there is a primary again; it says what happened. */
import { eventually } from '@canopy/testkit';
import type { CrashNode } from './node.ts';
import type { PlannedFault } from './plan.ts';
import type { DatabaseStage } from './stage.ts';

const FENCED_MS = 30_000;

/** Problems that only the fault itself can see. */
export async function strike(stage: DatabaseStage, fault: PlannedFault): Promise<readonly string[]> {
  const standby = stage.standbys[fault.standby] as CrashNode;
  switch (fault.kind) {
    case 'primaryKill':
      await stage.primary.killDatabase();
      await stage.env.clock.sleep(fault.delayMs / 4);
      await stage.endWriter(fault.standby === 0 ? 'SIGKILL' : 'SIGTERM');
      return failOver(stage, fault);
    case 'writerKill':
      await stage.endWriter('SIGKILL');
      return [];
    case 'standbyKill':
      await standby.killDatabase();
      await standby.launch();
      return [];
    case 'readerKill':
      await standby.killReader();
      standby.read();
      return [];
    case 'natsKill':
      await stage.nats.kill(fault.next);
      await stage.env.clock.sleep(fault.lastsMs);
      await stage.nats.restart(fault.next);
      return [];
    case 'everythingKill':
      return killEverything(stage, fault);
    case 'primaryFreeze':
      return freeze(stage, standby, fault);
    case 'handOver':
      await stage.endWriter('SIGTERM');
      await stage.primary.database.demote();
      await stage.promote(standby);
      return [];
    case 'standbyFull':
    case 'standbyBroken':
      return diskFails(stage, standby, fault);
    case 'primaryFull':
    case 'primaryBroken':
      return diskFails(stage, stage.primary, fault);
    case 'standbyPower':
      return losePower(stage, standby, fault);
    case 'promotionPower':
      return losePowerPromoting(stage, standby, fault);
    case 'primaryPower':
      await stage.primary.killDatabase();
      await stage.endWriter('SIGKILL', false);
      await powerOff(stage.primary, stage, fault);
      // As often as not the node that has lost something is the one to go on.
      return failOver(stage, fault, fault.standby === 0 ? stage.primary : undefined);
  }
}

/** Whoever is down comes back, and the planned node is primary. */
async function failOver(
  stage: DatabaseStage,
  fault: PlannedFault,
  next = stage.nodes[fault.next] as CrashNode,
): Promise<readonly string[]> {
  for (const node of stage.nodes) if (!node.running) await node.launch();
  await stage.promote(next);
  return [];
}

async function killEverything(stage: DatabaseStage, fault: PlannedFault): Promise<readonly string[]> {
  for (const node of stage.nodes) node.signal('SIGKILL');
  await stage.nats.kill(fault.next);
  await stage.endWriter('SIGKILL');
  for (const node of stage.nodes) await node.stop();
  await stage.nats.restart(fault.next);
  return failOver(stage, fault);
}

/** The application goes on beside its sleeping database process while another node is made primary. */
async function freeze(stage: DatabaseStage, standby: CrashNode, fault: PlannedFault): Promise<readonly string[]> {
  const former = stage.primary;
  former.signal('SIGSTOP');
  try {
    await stage.promote(standby);
    await stage.env.clock.sleep(fault.delayMs);
  } finally {
    former.signal('SIGCONT');
  }
  await eventually(() => former.events.some((event) => event.type === 'fenced'), {
    what: 'the former primary hears that it was replaced',
    timeoutMs: FENCED_MS,
  });
  await stage.endWriter('SIGTERM');
  if (fault.loss === 'nothing') await former.killDatabase();
  else await former.stop();
  await former.launch();
  return [];
}

async function diskFails(stage: DatabaseStage, node: CrashNode, fault: PlannedFault): Promise<readonly string[]> {
  const isPrimary = node === stage.primary;
  node.disk?.fail(fault.kind.endsWith('Full') ? 'ENOSPC' : 'EIO');
  await stage.env.clock.sleep(fault.lastsMs);
  if (isPrimary) await stage.endWriter('SIGKILL');
  node.disk?.heal();
  // A standby gets over it by itself.
  if (!isPrimary) return [];
  await node.stop();
  return failOver(stage, fault);
}

async function powerOff(node: CrashNode, stage: DatabaseStage, fault: PlannedFault): Promise<void> {
  node.signal('SIGKILL');
  await node.killReader();
  await node.stop();
  node.disk?.losePower(fault.loss, stage.random);
}

async function losePower(stage: DatabaseStage, node: CrashNode, fault: PlannedFault): Promise<readonly string[]> {
  const followed = node.database.status().role === 'standby';
  await powerOff(node, stage, fault);
  await node.launch();
  await stage.ready(node);
  const problems: string[] = [];
  const rebuilt = node.events.some((event) => event.type === 'bootstrap_progress');
  const kept = node.events.find((event) => event.type === 'divergence_kept');
  if (kept !== undefined)
    problems.push(`${node.name}: a standby's copy was kept aside as if it had commits of its own`);
  if (followed && node.flushes && rebuilt)
    problems.push(`${node.name} flushes, and was made anew after a loss of power`);
  if (!node.flushes && !rebuilt) problems.push(`${node.name} does not flush, and was believed after a loss of power`);
  return problems;
}

async function losePowerPromoting(
  stage: DatabaseStage,
  node: CrashNode,
  fault: PlannedFault,
): Promise<readonly string[]> {
  await stage.primary.killDatabase();
  await stage.endWriter('SIGKILL');
  const promoting = node.promote(stage.nextEpoch()).catch(() => undefined);
  await stage.env.clock.sleep(fault.delayMs / 2);
  await powerOff(node, stage, fault);
  await promoting;
  return failOver(stage, fault);
}
