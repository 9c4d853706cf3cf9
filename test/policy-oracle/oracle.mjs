// Decides requests with the core of @cloud-copilot/iam-simulate: reads one case a line from standard input and answers
// each with a line {"result": "Allowed" | "ExplicitlyDenied" | "ImplicitlyDenied"} or {"error": text}. The package is
// AGPL-3.0 and lives in this process only. Its core takes any condition key and any action, which its public entry
// does not; hence the imports by path.
import { createInterface } from 'node:readline'
import { loadPolicy } from '@cloud-copilot/iam-policy'

const engine = new URL('./node_modules/@cloud-copilot/iam-simulate/dist/esm/', import.meta.url)
const { authorize } = await import(new URL('core_engine/CoreSimulatorEngine.js', engine))
const { AwsRequestImpl } = await import(new URL('request/request.js', engine))
const { RequestContextImpl } = await import(new URL('requestContext.js', engine))
const { DiscoveryContextKeyConstraints } = await import(new URL('context_keys/discoveryContextKeyConstraints.js', engine))
const { anonymousPrincipal } = await import('@cloud-copilot/iam-simulate')

const strict = { simulationMode: 'Strict', discoveryContextKeyConstraints: new DiscoveryContextKeyConstraints([]) }
const load = (document, name) => (document ? loadPolicy(document, { name }) : undefined)
const loadAll = (documents) => (documents ?? []).map((d, i) => load(d, `policy${i}`))
const levels = (list) => (list ?? []).map((documents, i) => ({ orgIdentifier: `level${i}`, policies: loadAll(documents) }))

function decide(c) {
  const principal = c.Principal === 'anonymous' ? anonymousPrincipal : c.Principal
  const resource = { resource: c.Resource, accountId: c.Account }
  const context = new RequestContextImpl(c.Ctx ?? {})
  return authorize({
    request: new AwsRequestImpl(principal, resource, c.Action, context, c.Resource === '*'),
    identityPolicies: loadAll(c.Identity),
    resourcePolicy: load(c.ResourcePolicy, 'resource'),
    permissionBoundaries: c.Boundary ? [load(c.Boundary, 'boundary')] : undefined,
    sessionPolicy: load(c.Session, 'session'),
    serviceControlPolicies: levels(c.SCP),
    resourceControlPolicies: levels(c.RCP),
    simulationParameters: strict,
  }).result
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer
  try {
    answer = { result: decide(JSON.parse(line)) }
  } catch (e) {
    answer = { error: String(e) }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
}
