{{- define "service.horizontalpodautoscaler" -}}
{{- $a := .Values.autoscaling -}}
apiVersion: {{ ternary "autoscaling/v2" "autoscaling/v2beta2" (eq (include "service.since" (list . "1.23")) "yes") }}
kind: HorizontalPodAutoscaler
metadata:
  name: {{ include "service.fullname" . | quote }}
  namespace: {{ .Release.Namespace | quote }}
  labels:
    {{- include "service.labels" . | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "service.fullname" . | quote }}
  minReplicas: {{ int $a.minReplicas }}
  maxReplicas: {{ int $a.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ int $a.cpuPercent }}
    {{- if gt (int $a.inFlightPerPod) 0 }}
    - type: Pods
      pods:
        metric:
          name: {{ .Chart.Name }}_requests_in_flight
        target:
          type: AverageValue
          averageValue: {{ int $a.inFlightPerPod | quote }}
    {{- end }}
  behavior:
    # Up at once, at most doubling every 15 s.
    scaleUp:
      stabilizationWindowSeconds: 0
      selectPolicy: Max
      policies:
        - type: Percent
          value: 100
          periodSeconds: 15
        - type: Pods
          value: 4
          periodSeconds: 15
    # Down a fifth each minute, when nothing asked for more for the whole window.
    scaleDown:
      stabilizationWindowSeconds: {{ int $a.scaleDownWindowSeconds }}
      selectPolicy: Max
      policies:
        - type: Percent
          value: 20
          periodSeconds: 60
        - type: Pods
          value: 1
          periodSeconds: 60
{{- end -}}
