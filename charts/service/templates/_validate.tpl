{{/* Values that are each right and do not fit together. Everything that is wrong is told at once. */}}
{{- define "service.validate" -}}
{{- $v := .Values -}}
{{- $n := include "service.numbers" . | fromYaml -}}
{{- $balancer := include "service.loadBalancer.values" . | fromYaml -}}
{{- $ingress := include "service.ingress.values" . | fromYaml -}}
{{- $alb := include "service.behindLoadBalancer" . -}}
{{- $wrong := list -}}

{{- if not (include "service.teamId" .) -}}
{{- $wrong = append $wrong "teamId is empty: every reply begins with it. Set teamId or, for all charts, global.teamId." -}}
{{- end -}}
{{- if gt (include "service.teamId" . | len) 64 -}}
{{- $wrong = append $wrong (printf "teamId has %d bytes, of which the service takes 64. Set a shorter one." (include "service.teamId" . | len)) -}}
{{- end -}}
{{- if not (include "service.awsAccountId" .) -}}
{{- $wrong = append $wrong "awsAccountId is empty: every reply begins with it. Set awsAccountId or, for all charts, global.awsAccountId, to 12 digits in quotes (with --set-string on a command line)." -}}
{{- end -}}

{{- /* Names: what helm makes of a release's name must be a DNS label. */ -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" (include "service.fullname" .)) -}}
{{- $wrong = append $wrong (printf "the objects would be called %q, which a Service cannot be: it must begin with a letter, end with a letter or digit and hold lower-case letters, digits and hyphens. Set fullnameOverride or name the release otherwise." (include "service.fullname" .)) -}}
{{- end -}}

{{- /* Pods. */ -}}
{{- if and (ne $v.autoscaling.mode "fixed") (gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) -}}
{{- $wrong = append $wrong (printf "autoscaling.minReplicas (%d) is above autoscaling.maxReplicas (%d). Raise the one or lower the other." (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- if and (eq $v.autoscaling.mode "hpa") (gt (int $v.autoscaling.inFlightPerPod) (int $v.maxInFlight)) -}}
{{- $wrong = append $wrong (printf "autoscaling.inFlightPerPod (%d) is above maxInFlight (%d): pods would refuse requests before there are more of them. Lower the one or raise the other." (int $v.autoscaling.inFlightPerPod) (int $v.maxInFlight)) -}}
{{- end -}}
{{- if lt (include "service.millicores" $v.resources.requests.cpu | int64) 10 -}}
{{- $wrong = append $wrong (printf "resources.requests.cpu is %v: the autoscaler works with shares of it and the scheduler with the whole. Set at least 10m." $v.resources.requests.cpu) -}}
{{- end -}}
{{- if gt (int $n.workers) 1024 -}}
{{- $wrong = append $wrong (printf "resources.requests.cpu is %v: rounded up it is the number of worker threads, of which the service takes 1024. Lower it, and have more pods." $v.resources.requests.cpu) -}}
{{- end -}}
{{- if gt (include "service.bytes" $v.resources.requests.memory | int64) (include "service.bytes" $v.resources.limits.memory | int64) -}}
{{- $wrong = append $wrong (printf "resources.requests.memory (%v) is above resources.limits.memory (%v). Raise the limit or lower the request." $v.resources.requests.memory $v.resources.limits.memory) -}}
{{- end -}}
{{- if lt (include "service.bytes" $v.resources.limits.memory | int64) 16777216 -}}
{{- $wrong = append $wrong (printf "resources.limits.memory is %v, with which the service cannot start. Set at least 16Mi." $v.resources.limits.memory) -}}
{{- end -}}
{{- /* Some 15 KiB a connection, and what large heads, replies that wait and the service itself take. docs/reliability.md has the figures. */ -}}
{{- $open := add (mul 15360 (int $v.maxConnections)) 50331648 -}}
{{- if gt $open (include "service.bytes" $v.resources.limits.memory | int64) -}}
{{- $wrong = append $wrong (printf "maxConnections (%d) at some 15 KiB each, and 48 Mi beside them, do not fit into resources.limits.memory (%v): pods would be killed by nothing but many clients. Lower the one or raise the other." (int $v.maxConnections) $v.resources.limits.memory) -}}
{{- end -}}
{{- $labels := include "service.labels" . | fromYaml -}}
{{- $given := dict "podLabels" $v.podLabels "monitoring.labels" $v.monitoring.labels "monitoring.dashboardLabels" $v.monitoring.dashboardLabels -}}
{{- range $name := keys $given | sortAlpha -}}
{{- range $key := keys (get $given $name) | sortAlpha -}}
{{- if hasKey $labels $key -}}
{{- $wrong = append $wrong (printf "%s may not set %s, which the chart sets itself. Take it out." $name $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $key := list "kubectl.kubernetes.io/default-container" "checksum/settings" -}}
{{- if hasKey $v.podAnnotations $key -}}
{{- $wrong = append $wrong (printf "podAnnotations may not set %s, which the chart sets itself. Take it out." $key) -}}
{{- end -}}
{{- end -}}
{{- if and (not $v.serviceAccount.create) (gt (len $v.serviceAccount.annotations) 0) -}}
{{- $wrong = append $wrong "serviceAccount.annotations are given, but serviceAccount.create is false: nothing would carry them. Annotate the account that is there, or let the chart make one." -}}
{{- end -}}
{{- if hasKey $v.nodeSelector "kubernetes.io/arch" -}}
{{- $wrong = append $wrong "nodeSelector names kubernetes.io/arch, which the chart sets from architecture. Set architecture (arm64, amd64 or empty) instead." -}}
{{- end -}}

{{- /* The chain of timeouts, from the load balancer to the kill. */ -}}
{{- if $alb -}}
{{- if le (int $n.keepAlive) (int $n.idle) -}}
{{- $wrong = append $wrong (printf "keepAliveSeconds (%d) must be above loadBalancer.idleTimeoutSeconds (%d): else the pod closes connections that the load balancer is about to send on, which clients see as 502. Leave keepAliveSeconds empty to have 15 s more." (int $n.keepAlive) (int $n.idle)) -}}
{{- end -}}
{{- if lt (add (int $v.preStopSleepSeconds) (int $n.settle)) (int64 $n.lag) -}}
{{- $wrong = append $wrong (printf "settleSeconds (%d) and preStopSleepSeconds (%d) must come to loadBalancer.lagSeconds (%d) at least: so long the load balancer may go on sending to a pod that is being removed. Leave settleSeconds empty to have just that." (int $n.settle) (int $v.preStopSleepSeconds) (int $n.lag)) -}}
{{- end -}}
{{- $check := mul (int $n.checkPeriod) (int $n.checkFailures) -}}
{{- if le (int64 $n.settle) $check -}}
{{- $wrong = append $wrong (printf "settleSeconds (%d) must be above the %d s in which the load balancer's health check (each %d s, %d failures) finds out that a pod stops: where nobody deregisters it, requests would be sent to a pod that is gone. Set it, or loadBalancer.lagSeconds (%d), which it follows where it is empty, to %d at least." (int $n.settle) $check (int $n.checkPeriod) (int $n.checkFailures) (int $n.lag) (add1 $check)) -}}
{{- end -}}
{{- if gt (int $v.requestDeadlineSeconds) (int $balancer.deregistrationDelaySeconds) -}}
{{- $wrong = append $wrong (printf "requestDeadlineSeconds (%d) is above loadBalancer.deregistrationDelaySeconds (%d): the load balancer would cut requests in hand when a pod is removed. Lower the one or raise the other." (int $v.requestDeadlineSeconds) (int $balancer.deregistrationDelaySeconds)) -}}
{{- end -}}
{{- if ge (int $v.requestDeadlineSeconds) (int $n.idle) -}}
{{- $wrong = append $wrong (printf "requestDeadlineSeconds (%d) must be below loadBalancer.idleTimeoutSeconds (%d): the load balancer would answer 504 before the service answers 503. Lower the one or raise the other." (int $v.requestDeadlineSeconds) (int $n.idle)) -}}
{{- end -}}
{{- end -}}
{{- if gt (int $v.requestDeadlineSeconds) (int $v.drainSeconds) -}}
{{- $wrong = append $wrong (printf "requestDeadlineSeconds (%d) is above drainSeconds (%d): a stop would cut requests that still have time. Lower the one or raise the other." (int $v.requestDeadlineSeconds) (int $v.drainSeconds)) -}}
{{- end -}}
{{- if lt (int $n.grace) (int $n.graceNeeded) -}}
{{- $wrong = append $wrong (printf "terminationGracePeriodSeconds (%d) is below the %d that a stop needs (preStopSleepSeconds %d, settling %d, drainSeconds %d, and 5): pods would be killed in the middle. Leave it empty to have just that." (int $n.grace) (int $n.graceNeeded) (int $v.preStopSleepSeconds) (int $n.settle) (int $v.drainSeconds)) -}}
{{- end -}}
{{- if le (int $v.progressDeadlineSeconds) (add (int $v.minReadySeconds) (int $v.probes.startupSeconds)) -}}
{{- $wrong = append $wrong (printf "progressDeadlineSeconds (%d) must be above minReadySeconds (%d) and probes.startupSeconds (%d) together: else a roll-out that goes well counts as failed. Raise it." (int $v.progressDeadlineSeconds) (int $v.minReadySeconds) (int $v.probes.startupSeconds)) -}}
{{- end -}}
{{- if and (gt (int $v.preStopSleepSeconds) 0) (not (include "service.since" (list . "1.30"))) -}}
{{- $wrong = append $wrong (printf "preStopSleepSeconds is %d, which Kubernetes knows since 1.30 and this one is %s. Set it to 0: the service settles by itself." (int $v.preStopSleepSeconds) .Capabilities.KubeVersion.Version) -}}
{{- end -}}

{{- /* The way in. */ -}}
{{- if $ingress.enabled -}}
{{- if and $alb $ingress.tlsSecret -}}
{{- $wrong = append $wrong "ingress.tlsSecret does not work with the class alb, which takes certificates from AWS Certificate Manager. Set loadBalancer.certificateArn instead." -}}
{{- end -}}
{{- if and $ingress.tlsSecret (not $ingress.host) -}}
{{- $wrong = append $wrong "ingress.tlsSecret needs ingress.host, the name that the certificate is for. Set both." -}}
{{- end -}}
{{- $others := include "service.ingress.annotations.fixed" . | fromYaml -}}
{{- range $key := keys $balancer.annotations | sortAlpha -}}
{{- if hasKey $others $key -}}
{{- $wrong = append $wrong (printf "loadBalancer.annotations repeats %s, which the chart sets itself. Change the value of loadBalancer for it, or take it out." $key) -}}
{{- end -}}
{{- end -}}
{{- $own := include "service.ingress.annotations" . | fromYaml -}}
{{- range $key := keys $ingress.annotations | sortAlpha -}}
{{- if hasKey $own $key -}}
{{- $wrong = append $wrong (printf "ingress.annotations repeats %s, which the chart sets from loadBalancer. Change the value there." $key) -}}
{{- end -}}
{{- end -}}
{{- range $key, $value := $balancer.attributes -}}
{{- if eq $key "idle_timeout.timeout_seconds" -}}
{{- $wrong = append $wrong "loadBalancer.attributes repeats idle_timeout.timeout_seconds. Set loadBalancer.idleTimeoutSeconds, which pods' keep-alive follows." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Variables. */ -}}
{{- if eq (toString $v.logLevel) "true" -}}
{{- $wrong = append $wrong "logLevel is true, which YAML makes of a bare on or yes. Set error, warn, info, debug, trace or off." -}}
{{- end -}}
{{- $settings := include "service.settings" . | fromYaml -}}
{{- $seen := dict "WORKERS" "" "DATABASE_URL" "" -}}
{{- range $item := $v.extraEnv -}}
{{- if or (hasKey $settings $item.name) (hasKey $seen $item.name) -}}
{{- $wrong = append $wrong (printf "extraEnv names %s, which the chart sets itself or which stands there twice. Change the chart's value for it, or take one out." $item.name) -}}
{{- end -}}
{{- if and (hasKey $item "value") (hasKey $item "valueFrom") -}}
{{- $wrong = append $wrong (printf "extraEnv gives %s both value and valueFrom. Take one out." $item.name) -}}
{{- end -}}
{{- $_ := set $seen $item.name "" -}}
{{- end -}}
{{- if and $ingress.enabled $v.networkPolicy.enabled (not $v.networkPolicy.loadBalancerCidrs) (not $v.networkPolicy.extraIngress) -}}
{{- $wrong = append $wrong "networkPolicy.loadBalancerCidrs is empty: what the Ingress sends could not reach the pods. Name the subnets of the load balancer, or the controller's pods in networkPolicy.extraIngress." -}}
{{- end -}}
{{- if and $v.monitoring.rules (not $v.monitoring.serviceMonitor) -}}
{{- $wrong = append $wrong "monitoring.rules is on without monitoring.serviceMonitor: the rules ask for series by the job that it names, find none, and TripodTargetsMissing would ring for ever. Turn monitoring.serviceMonitor on, or the rules off." -}}
{{- end -}}
{{- $tracing := include "service.tracing.values" . | fromYaml -}}
{{- if and $tracing.endpoint (not $tracing.namespace) $v.networkPolicy.enabled (not $v.networkPolicy.extraEgress) -}}
{{- $wrong = append $wrong "tracing.endpoint is set, but networkPolicy lets no traces out. Set tracing.namespace to that of the collector's pods or, for one outside the cluster, add it to networkPolicy.extraEgress." -}}
{{- end -}}
{{- if and $v.authUrl $v.networkPolicy.enabled (not $v.networkPolicy.extraEgress) -}}
{{- $wrong = append $wrong (printf "authUrl is set, but networkPolicy lets nothing out: %s could not be reached. Name it in networkPolicy.extraEgress (names are looked up once a rule stands there) or turn networkPolicy.enabled off." $v.authUrl) -}}
{{- end -}}
{{- if and $v.authUrl (ge (int $v.authTimeoutMs) (mul 1000 (int $v.requestDeadlineSeconds))) -}}
{{- $wrong = append $wrong (printf "authTimeoutMs (%d) must be below requestDeadlineSeconds (%d s): the request would be given up first. Lower it." (int $v.authTimeoutMs) (int $v.requestDeadlineSeconds)) -}}
{{- end -}}

{{- if hasKey $v "database" -}}
{{- $wrong = concat $wrong (include "service.validate.database" . | fromYamlArray) -}}
{{- end -}}

{{- if $wrong -}}
{{- fail (printf "\n\nThe values of the chart %s do not fit together:\n  - %s\n" .Chart.Name (join "\n  - " $wrong)) -}}
{{- end -}}
{{- end -}}

{{/* A YAML list of what is wrong with the database's values. */}}
{{- define "service.validate.database" -}}
{{- $v := .Values -}}
{{- $d := $v.database -}}
{{- $n := include "service.numbers" . | fromYaml -}}
{{- $wrong := list -}}
{{- if and $d.externalSecret.enabled $d.existingSecret -}}
{{- $wrong = append $wrong "database.existingSecret and database.externalSecret.enabled are both set. Keep one: the ExternalSecret makes a secret of its own." -}}
{{- end -}}
{{- if not (or $d.externalSecret.enabled $d.existingSecret) -}}
{{- $wrong = append $wrong "no secret for the database. Set database.existingSecret to the name of one with the password, or database.externalSecret.enabled, key and region to have it fetched from AWS Secrets Manager." -}}
{{- end -}}
{{- if $d.externalSecret.enabled -}}
{{- if not $d.externalSecret.key -}}
{{- $wrong = append $wrong "database.externalSecret.key is empty. Set it to the name of the secret in AWS Secrets Manager." -}}
{{- end -}}
{{- if and $d.externalSecret.region $d.externalSecret.storeName -}}
{{- $wrong = append $wrong "database.externalSecret.region makes a store and storeName names one that is there. Keep one." -}}
{{- end -}}
{{- if not (or $d.externalSecret.region $d.externalSecret.storeName) -}}
{{- $wrong = append $wrong "database.externalSecret knows no store. Set region to have one made, or storeName to use one that is there." -}}
{{- end -}}
{{- if $d.urlKey -}}
{{- $wrong = append $wrong "database.urlKey works with existingSecret only: the ExternalSecret fetches the password. Take it out and set database.host." -}}
{{- end -}}
{{- end -}}
{{- if and (not $d.urlKey) (not $d.host) -}}
{{- $wrong = append $wrong "database.host is empty. Set it to the server's name, or database.urlKey to the key of the existing secret that holds the whole address." -}}
{{- end -}}
{{- if and $v.networkPolicy.enabled (not $v.networkPolicy.databaseCidrs) (not $v.networkPolicy.extraEgress) -}}
{{- $wrong = append $wrong "networkPolicy.databaseCidrs is empty: the database could not be reached. Name its subnets, or its pods in networkPolicy.extraEgress." -}}
{{- end -}}
{{- if and $d.urlKey $d.fallbackHosts -}}
{{- $wrong = append $wrong "database.urlKey names a whole address, with which database.fallbackHosts are not used. Take one out, or list the hosts in the address." -}}
{{- end -}}
{{- if has $d.host $d.fallbackHosts -}}
{{- $wrong = append $wrong (printf "database.fallbackHosts repeats database.host (%s). Take it out." $d.host) -}}
{{- end -}}
{{- if and $d.caConfigMap $d.caSecret -}}
{{- $wrong = append $wrong "database.caConfigMap and database.caSecret are both set. Keep one." -}}
{{- end -}}
{{- if and (not $d.urlKey) (hasPrefix "VERIFY_" $d.sslMode) (not (or $d.caConfigMap $d.caSecret)) -}}
{{- $wrong = append $wrong (printf "database.sslMode %s needs a bundle of authorities, for the image has none. Set database.caConfigMap or database.caSecret (the bundle of RDS, see docs/operations.md), or sslMode REQUIRED, which does not verify the server." $d.sslMode) -}}
{{- end -}}
{{- if and (eq $d.sslMode "DISABLED") (or $d.caConfigMap $d.caSecret) (not $d.urlKey) -}}
{{- $wrong = append $wrong "database.sslMode is DISABLED, but a bundle of authorities is given, which the service refuses. Take out one of them." -}}
{{- end -}}
{{- $free := sub (int $d.maxConnections) (int $d.reservedConnections) -}}
{{- if gt (int $n.poolAtRollOut) (int $free) -}}
{{- $wrong = append $wrong (printf "%d pods with %d connections each, twice in a roll-out, come to %d database connections, but the server has %d left (database.maxConnections %d less reservedConnections %d). Lower autoscaling.maxReplicas or database.connections, or raise the server's max_connections and the value with it." (int $n.most) (int $n.poolPerPod) (int $n.poolAtRollOut) (int $free) (int $d.maxConnections) (int $d.reservedConnections)) -}}
{{- end -}}
{{- $together := add (int $d.waitMs) (int $d.connectMs) (int $d.queryMs) -}}
{{- if ge $together (mul 1000 (int $v.requestDeadlineSeconds)) -}}
{{- $wrong = append $wrong (printf "database.waitMs, connectMs and queryMs come to %d ms, which must be below requestDeadlineSeconds (%d s): requests would be given up without a reason. Lower them or raise the deadline." $together (int $v.requestDeadlineSeconds)) -}}
{{- end -}}
{{- $cache := mul 1048576 (add (int $v.cacheMb) 96) -}}
{{- if gt $cache (include "service.bytes" $v.resources.limits.memory | int64) -}}
{{- $wrong = append $wrong (printf "cacheMb (%d) and the 96 Mi that the service needs beside it do not fit into resources.limits.memory (%v): pods would be killed as the cache fills. Lower the one or raise the other." (int $v.cacheMb) $v.resources.limits.memory) -}}
{{- end -}}
{{- toYaml $wrong -}}
{{- end -}}
