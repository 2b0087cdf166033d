/**
 * Where replicas are asked. Outside of `canopy.replication.<namespace>.>`, which is the log's: a question there would become an event. Other
 * versions ask here, too: do not change.
 */
const ROOT = 'canopy.replication-admin';

/** Heard by all nodes of a namespace. */
export function everybodySubject(namespace: string): string {
  return `${ROOT}.${namespace}.all`;
}

/** Heard by one; in base64url, since a node's id may hold what a subject may not. */
export function nodeSubject(namespace: string, node: string): string {
  return `${ROOT}.${namespace}.node.${Buffer.from(node).toString('base64url')}`;
}

/** Where answers to a question to everybody go. */
export function answersSubject(namespace: string, id: string): string {
  return `${ROOT}.${namespace}.answers.${id}`;
}
