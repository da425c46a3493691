{{/* Numbers that follow from others. */}}

{{/* Thousandths of a CPU, from 2, "2", "0.5" or "500m". */}}
{{- define "service.millicores" -}}
{{- $text := toString . -}}
{{- if hasSuffix "m" $text -}}
{{- trimSuffix "m" $text | float64 | ceil | int64 -}}
{{- else -}}
{{- mulf (float64 $text) 1000.0 | ceil | int64 -}}
{{- end -}}
{{- end -}}

{{/* Bytes, from 1000, "1000", "64Mi" or "1.5G". */}}
{{- define "service.bytes" -}}
{{- if kindIs "string" . -}}
{{- $unit := regexFind "[A-Za-z]+$" . -}}
{{- $factors := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mulf (trimSuffix $unit . | float64) (get $factors $unit | float64) | int64 -}}
{{- else -}}
{{- int64 . -}}
{{- end -}}
{{- end -}}

{{/* What the timeouts, pods and connections come to. */}}
{{- define "service.numbers" -}}
{{- $balancer := include "service.loadBalancer.values" . | fromYaml -}}
{{- $behind := include "service.behindLoadBalancer" . -}}
{{- $lag := ternary (int $balancer.lagSeconds) 0 (not (empty $behind)) -}}
{{- $idle := int $balancer.idleTimeoutSeconds -}}
{{- $settle := ternary (int $balancer.lagSeconds) (int .Values.settleSeconds) (kindIs "invalid" .Values.settleSeconds) -}}
{{- $keepAlive := ternary (add $idle 15) (int64 .Values.keepAliveSeconds) (kindIs "invalid" .Values.keepAliveSeconds) -}}
{{- $needed := add (int .Values.preStopSleepSeconds) $settle (int .Values.drainSeconds) 5 -}}
{{- $grace := ternary $needed (int64 .Values.terminationGracePeriodSeconds) (kindIs "invalid" .Values.terminationGracePeriodSeconds) -}}
{{- $fixed := eq .Values.autoscaling.mode "fixed" -}}
{{- $fewest := ternary (int .Values.replicas) (int .Values.autoscaling.minReplicas) $fixed -}}
{{- $most := ternary (int .Values.replicas) (int .Values.autoscaling.maxReplicas) $fixed -}}
{{- $workers := max 1 (divf (include "service.millicores" .Values.resources.requests.cpu | float64) 1000.0 | ceil | int64) }}
lag: {{ $lag }}
{{- /* How often the load balancer's health check asks, and after how many failures it sends nothing more. */}}
checkPeriod: 5
checkFailures: 2
idle: {{ $idle }}
settle: {{ $settle }}
keepAlive: {{ $keepAlive }}
graceNeeded: {{ $needed }}
grace: {{ $grace }}
fewest: {{ $fewest }}
most: {{ $most }}
mayBeGone: {{ max 1 (div $fewest 4) }}
workers: {{ $workers }}
{{- if hasKey .Values "database" }}
{{- /* Each worker has at least one connection, and one more watches the table. */}}
{{- $pool := add 1 (max (int .Values.database.connections) $workers) }}
poolPerPod: {{ $pool }}
poolAtRollOut: {{ mul 2 $most $pool }}
{{- end }}
{{- end -}}

{{/* "yes" when an AWS load balancer sends to the pods. */}}
{{- define "service.behindLoadBalancer" -}}
{{- $ingress := include "service.ingress.values" . | fromYaml -}}
{{- if and $ingress.enabled (eq $ingress.className "alb") -}}yes{{- end -}}
{{- end -}}

{{/* API versions that old clusters call otherwise. */}}
{{- define "service.since" -}}
{{- if semverCompare (printf ">=%s-0" (index . 1)) (index . 0).Capabilities.KubeVersion.Version -}}yes{{- end -}}
{{- end -}}

{{/* A number as digits; helm may read 12 as 12.0 and show it as 1.2e+01. */}}
{{- define "service.integer" -}}
{{- if kindIs "string" . -}}{{ . }}{{- else -}}{{ int64 . }}{{- end -}}
{{- end -}}
