{{- define "service.poddisruptionbudget" -}}
{{- $n := include "service.numbers" . | fromYaml -}}
apiVersion: {{ ternary "policy/v1" "policy/v1beta1" (eq (include "service.since" (list . "1.21")) "yes") }}
kind: PodDisruptionBudget
metadata:
  name: {{ include "service.fullname" . | quote }}
  namespace: {{ .Release.Namespace | quote }}
  labels:
    {{- include "service.labels" . | nindent 4 }}
spec:
  # A quarter of the fewest pods, at least one: also with a single pod a node can be drained.
  maxUnavailable: {{ int $n.mayBeGone }}
  {{- if include "service.since" (list . "1.27") }}
  # A pod that is not healthy serves nobody and must not hold up a drain.
  unhealthyPodEvictionPolicy: AlwaysAllow
  {{- end }}
  selector:
    matchLabels:
      {{- include "service.selector" . | nindent 6 }}
{{- end -}}
