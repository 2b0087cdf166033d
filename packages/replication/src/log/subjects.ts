/**
 * What a log is called on NATS: stream `CANOPY_REPLICATION_<namespace>`, subject `canopy.replication.<namespace>.<topic>`, and `=` in the
 * topic's place where there is none (no topic can be that). Persistent: do not change.
 */
import { optionsInvalid } from '@canopy/core';

const NO_TOPIC = '=';

/** Returns the namespace, or throws OPTIONS_INVALID. It becomes a part of names of streams, buckets, objects and subjects. */
export function checkNamespace(namespace: string, subject: string): string {
  if (typeof namespace === 'string' && /^[-\w]{1,128}$/.test(namespace)) return namespace;
  const problem = 'must be 1 to 128 letters, digits, "-" or "_"';
  throw optionsInvalid(subject, [{ field: 'namespace', problem }]);
}

export function streamOf(namespace: string): string {
  return `CANOPY_REPLICATION_${namespace}`;
}

/** The subject of a topic, or the subjects of a filter. */
export function subjectOf(namespace: string, topic: string): string {
  return `canopy.replication.${namespace}.${topic === '' ? NO_TOPIC : topic}`;
}

export function topicOf(namespace: string, subject: string): string {
  const topic = subject.slice(`canopy.replication.${namespace}.`.length);
  return topic === NO_TOPIC ? '' : topic;
}
